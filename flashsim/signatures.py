"""Signatures of policy bundles and Worlds: who vouches for the files of a folder.

``signature.json`` lies beside the files. It names each of them with its SHA-256, says what they are together (a policy
bundle or a World, and its format), and holds an Ed25519 signature over all this and the public key that it verifies
with. So a file that was changed, left out or added is seen, and a signature of one thing serves for no other.

A signature that does not verify is always refused. Whose signatures count is said by :class:`Trust`. Keys themselves
are in ``flashsim.keys``, which is loaded where there is something to verify.

What it leaves out: when it was signed, and whether the signer has made something newer since.

Source: RFC 8032 (Ed25519).
"""

import hashlib
import importlib
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from flashsim.errors import InputError
from flashsim.files import MIB, is_there, json_in, json_text, read_bytes, sha256, write_json
from flashsim.shown import brief

SIGNATURE_FILE: Final = "signature.json"
FORMAT_VERSION: Final = 1
_KEYS: Final = frozenset(("format_version", "kind", "kind_version", "files", "public_key", "signature"))
_AGAIN: Final = "get the folder again from whoever signed it"


class Kind(NamedTuple):
    """What is signed."""

    name: str
    version: int
    """Of its format."""
    files: Callable[[Path], Collection[str]]
    """Names of the files that may lie in such a folder, the signature aside: nothing else is vouched for."""


@dataclass(frozen=True)
class Trust:
    """Whose signatures count, and who hears what was found; by default nobody is asked for and nobody told."""

    keys: Sequence[Path | str] = ()
    """Files of public keys; a signature of another key is refused. (): whoever signed is told, and nobody refused."""
    signed_only: bool = False
    """Whether a folder without a signature is refused, too."""
    setting: str = "keys"
    """What the sentence of a refusal calls ``keys``."""
    tell: Callable[[str], object] = lambda _line: None
    """Hears one line for each folder: whether it is signed, and by whom."""


ANYBODY: Final = Trust()


def fingerprint(public_key: bytes) -> str:
    """What people compare: the first half of the SHA-256 of the 32 bytes of a public key."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def check_signature(folder: Path, kind: Kind, trust: Trust, *, read: Mapping[str, bytes]) -> None:
    """InputError when the signature of ``folder`` is wrong, or not one that ``trust`` asks for.

    ``read`` are the bytes of files that were read already: they are verified themselves, not read again. Every other
    file must be as it was signed when this function looks at it.
    """
    trusted = [_keys().read_public_key(path) for path in trust.keys]
    if trust.signed_only and not trusted:
        raise InputError(f"signatures are asked for, but whose is not said; give {trust.setting}=[FILE]")
    path = folder / SIGNATURE_FILE
    if not is_there(path):
        if trust.signed_only:
            raise InputError(f"{folder} is not signed, and signatures are asked for; have it signed: experiments.sign")
        trust.tell(f"{folder} is not signed: its checksums guard against accidents, not against people")
        return
    record = _read_record(path)
    if (record["kind"], record["kind_version"]) != (kind.name, kind.version):
        seen = f"{brief(record['kind'])} of format {brief(record['kind_version'])}"
        raise InputError(f"{path} signs {seen}, expected {kind.name!r} of format {kind.version}; {_AGAIN}")
    signer = bytes.fromhex(record["public_key"])
    if not _keys().verifies(signer, bytes.fromhex(record["signature"]), _message(record)):
        raise InputError(f"{path} is no signature of its key: it was changed or made for something else; {_AGAIN}")
    if trusted and signer not in trusted:
        raise InputError(
            f"{folder} is signed by the key {fingerprint(signer)}, which is none of {trust.setting}; "
            "add its public key there if you trust who holds it"
        )
    _check_files(folder, record["files"], signer=fingerprint(signer), read=read)
    known = "which you trust" if trusted else "which nobody here was told to trust"
    trust.tell(f"{folder} is signed by the key {fingerprint(signer)}, {known}")


def check_signable(folder: Path, kind: Kind, private_key: Path) -> list[str]:
    """Names of the files that a signature of ``folder`` would vouch for.

    InputError for a key that cannot sign or lies in the folder, where it would travel along, and for a folder that
    holds anything but files of ``kind``.
    """
    _keys().read_private_key(private_key)
    names = _names(folder)
    if any((folder / name).samefile(private_key) for name in names):
        raise InputError(f"{private_key} lies in {folder}, which others will get; move the private key elsewhere")
    strange = set(names) - set(kind.files(folder))
    if strange:
        raise InputError(f"{folder}: {brief(min(strange))} is no file of a {kind.name}, so nobody signs it; remove it")
    return names


def sign_folder(folder: Path, kind: Kind, private_key: Path) -> str:
    """Sign every file of ``folder`` and return the fingerprint of the key; replaces an earlier signature.

    InputError as in :func:`check_signable`.
    """
    names = check_signable(folder, kind, private_key)
    key = _keys().read_private_key(private_key)
    files = {name: sha256(folder / name) for name in names}
    record = {"format_version": FORMAT_VERSION, "kind": kind.name, "kind_version": kind.version, "files": files}
    public = _keys().public_part(key)
    signature = key.sign(_message(record))
    write_json(folder / SIGNATURE_FILE, record | {"public_key": public.hex(), "signature": signature.hex()})
    return fingerprint(public)


def _keys() -> Any:
    return importlib.import_module("flashsim.keys")


def _message(record: Mapping[str, Any]) -> bytes:
    """What is signed of a record: all but the key and the signature, under a name that no other program signs."""
    signed = {name: record[name] for name in ("format_version", "kind", "kind_version", "files")}
    return b"flashsim signature\n" + json_text(signed).encode()


def _read_record(path: Path) -> dict[str, Any]:
    """The record, exactly as a program of ours writes it."""
    data = read_bytes(path, most=MIB)
    try:
        record = json_in(data)
        is_ours = (
            isinstance(record, dict)
            and set(record) == _KEYS
            and json_text(record).encode() == data
            and type(record["kind_version"]) is int
            and isinstance(record["kind"], str)
            and isinstance(record["files"], dict)
            and all(_is_hex(digest, 32) for digest in record["files"].values())
            and _is_hex(record["public_key"], 32)
            and _is_hex(record["signature"], 64)
        )
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); {_AGAIN}") from error
    if not is_ours:
        raise InputError(f"{path} is not a signature as flashsim writes it; {_AGAIN}")
    if record["format_version"] != FORMAT_VERSION or type(record["format_version"]) is not int:
        raise InputError(f"{path} is of another format than {FORMAT_VERSION}, which this flashsim reads; {_AGAIN}")
    return dict(record)


def _is_hex(text: object, size: int) -> bool:
    return isinstance(text, str) and re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", text) is not None


def _check_files(folder: Path, files: Mapping[str, str], *, signer: str, read: Mapping[str, bytes]) -> None:
    seen = set(_names(folder)) | set(read)
    for problem, names in (("was not signed", seen - set(files)), ("was signed but is not there", set(files) - seen)):
        if names:
            raise InputError(f"{folder}: {brief(min(names))} {problem} by the key {signer}; {_AGAIN}")
    for name, digest in files.items():
        found = hashlib.sha256(read[name]).hexdigest() if name in read else sha256(folder / name)
        if found != digest:
            raise InputError(f"{folder / name} is not the file that the key {signer} signed; {_AGAIN}")


def _names(folder: Path) -> list[str]:
    """Names of all files but the signature; InputError for anything else: a link could lead to another file later."""
    try:
        items = sorted(os.scandir(folder), key=lambda item: item.name)
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}; check the path") from error
    for item in items:
        if not item.is_file(follow_symlinks=False):
            raise InputError(
                f"{folder / item.name} is a link or no file, which a signed folder does not hold; {_AGAIN}"
            )
    return [item.name for item in items if item.name != SIGNATURE_FILE]
