"""Make a pair of keys: a private one, with which bundles and Worlds are signed, and the public one that others trust.

python -m experiments.keys output=keys/team

Leaves ``private_key.pem``, which its owner alone can read: keep it so, and never beside what it signs; and
``public_key.pem``: give it to those who shall trust you, and let them compare the fingerprint that is printed.
"""

from dataclasses import dataclass

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder


@dataclass(frozen=True)
class KeysConfig:
    """Where the keys go: a new folder, or an empty one."""

    output: str = dated("keys")


@entry("keys", KeysConfig)
def main(_config: KeysConfig, folder: RunFolder) -> None:
    """Make, write, and say what to compare."""
    from flashsim.keys import PRIVATE_FILE, PUBLIC_FILE, make_keys
    from flashsim.signatures import fingerprint

    mark = fingerprint(make_keys(folder.path))
    folder.record(key=mark)
    print(f"Private key: {folder.path / PRIVATE_FILE} (keep it to yourself)")
    print(f"Public key: {folder.path / PUBLIC_FILE}, fingerprint {mark}", flush=True)


if __name__ == "__main__":
    main()
