"""Whose signatures a program asks for, of bundles and of Worlds (``flashsim.signatures``)."""

from dataclasses import dataclass
from pathlib import Path

from flashsim.policies.bundle import NetworkPolicy, load_policy
from flashsim.signatures import Trust


@dataclass(frozen=True)
class TrustConfig:
    """Which keys are trusted."""

    trusted_keys: tuple[str, ...] = ()
    """Files of public keys. With any, a signature of another key is refused; what is not signed loads with a line that
    says so."""
    signed_only: bool = False
    """Refuse what is not signed, too."""

    def trust(self, part: str) -> Trust:
        """The same as the loaders take it; ``part`` is this config's own key."""
        return Trust(self.trusted_keys, self.signed_only, setting=f"{part}.trusted_keys", tell=_tell)


@dataclass(frozen=True)
class PoliciesConfig(TrustConfig):
    """Whose bundles are played."""

    def load(self, folder: Path | str) -> NetworkPolicy:
        """The bundle in ``folder``; says in a line whether it is signed, and by whom."""
        return load_policy(folder, trust=self.trust("policies"))


def _tell(line: str) -> None:
    print(f"· {line}", flush=True)
