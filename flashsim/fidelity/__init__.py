"""How true to life a World is: held-out weeks, simulated with it and compared with what happened."""

from pathlib import Path

import flashsim.sim
from flashsim.sim.cache import compiled_code_of

with compiled_code_of(Path(flashsim.sim.__file__).parent, Path(__file__).parent):
    from flashsim.fidelity.card import FidelityCard, Line, fidelity_card
    from flashsim.fidelity.held_out import HeldOut, Offers, first_weeks, held_out_weeks
    from flashsim.fidelity.unjudged import own_card, updates_sentence

__all__ = [
    "FidelityCard",
    "HeldOut",
    "Line",
    "Offers",
    "fidelity_card",
    "first_weeks",
    "held_out_weeks",
    "own_card",
    "updates_sentence",
]
