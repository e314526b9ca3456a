"""Sign policy bundles and Worlds: say with your key that they are those that you made or examined.

python -m experiments.sign key=keys/team/private_key.pem 'folders=[outputs/train/…/policies/ppo,outputs/train/…/world]'

Each is loaded first, so that nothing broken is signed. ``signature.json`` is put beside its files, in place of an
earlier one. Others load it with ``policies.trusted_keys=[public_key.pem]`` and ``world.trusted_keys=[public_key.pem]``.
All are looked at before the first is signed; what was signed is in ``signed.json``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from flashsim import world
from flashsim.errors import InputError
from flashsim.files import is_there, read_json, write_json
from flashsim.policies import bundle
from flashsim.signatures import SIGNATURE_FILE, Kind, check_signable, sign_folder

SIGNED: dict[str, tuple[Kind, Callable[[Path], Any]]] = {
    bundle.CARD_FILE: (bundle.SIGNED_AS, bundle.load_policy),
    world.FACTS_FILE: (world.SIGNED_AS, world.World.load),
}
"""File that tells what a folder is -> what is signed, and what loads it."""


@dataclass(frozen=True)
class SignConfig:
    """What is signed, and with which key."""

    key: str | None = None
    """File of the private key; ``experiments.keys`` makes one."""
    folders: tuple[str, ...] = ()
    """Folders of policy bundles and Worlds."""
    output: str = dated("sign")


@entry("sign", SignConfig)
def main(config: SignConfig, folder: RunFolder) -> None:
    """Load, sign, load again."""
    if config.key is None:
        raise InputError("key: expected the file of a private key, got none; make one: python -m experiments.keys")
    if not config.folders:
        raise InputError("folders: expected folders of bundles and Worlds, got none; set 'folders=[FOLDER]'")
    kinds = [kind_of(Path(place)) for place in config.folders]
    for place, (kind, load) in zip(config.folders, kinds, strict=True):
        load(Path(place))
        check_signable(Path(place), kind, Path(config.key))
    signed = []
    for place, (kind, load) in zip(config.folders, kinds, strict=True):
        mark = sign_folder(Path(place), kind, Path(config.key))
        load(Path(place))
        files = read_json(Path(place) / SIGNATURE_FILE)["files"]
        signed.append({"folder": place, "kind": kind.name, "key": mark, "files": files})
        write_json(folder.path / "signed.json", signed)  # each time: a later one may fail
        print(f"{place}: {kind.name} of {len(files)} files, signed by the key {mark}", flush=True)


def kind_of(place: Path) -> tuple[Kind, Callable[[Path], Any]]:
    """What the folder is, and what loads it; InputError when it is nothing that can be signed."""
    for file, found in SIGNED.items():
        if is_there(place / file):
            return found
    raise InputError(f"folders: {place} is neither a policy bundle nor a World: it holds none of {', '.join(SIGNED)}")


if __name__ == "__main__":
    main()
