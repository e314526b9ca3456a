"""The one error that a person can mend.

Everything that comes from outside (files, tables, configuration, arguments of public functions) is checked where it
enters, and refused with an :class:`InputError`. Entry points print its message and exit with code 2; any other
exception is a fault of ours and keeps its traceback.
"""

from dataclasses import dataclass


class InputError(ValueError):
    """Something handed to flashsim cannot be used.

    The message is one sentence: what was wrong, the value seen, and what to do.
    """


class LearningError(InputError):
    """A training ended without a result, and would again if it went on from where it stopped."""


@dataclass(frozen=True)
class Unavailable:
    """What the data do not tell, where the caller goes on without it."""

    reason: str
    """Why, in words for the record."""
