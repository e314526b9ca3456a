"""Ed25519 keys in PEM files: a private key that signs bundles and Worlds, and the public key that others trust.

Private keys are PKCS #8 without a passphrase, readable by their owner alone; public keys are SubjectPublicKeyInfo. Both
are what ``openssl genpkey -algorithm ed25519`` writes, so a team may keep its keys with the tools that it has.
"""

from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from flashsim.errors import InputError
from flashsim.files import read_bytes, write_bytes

PRIVATE_FILE: Final = "private_key.pem"
PUBLIC_FILE: Final = "public_key.pem"
_MOST: Final = 2**14  # bytes; an Ed25519 key has 119
_OWNER_ALONE: Final = 0o600
_MAKE: Final = "make keys: python -m experiments.keys"


def make_keys(folder: Path) -> bytes:
    """Write a new pair of keys to ``folder`` and return the public one, 32 bytes."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_bytes(folder / PRIVATE_FILE, private, mode=_OWNER_ALONE)
    write_bytes(folder / PUBLIC_FILE, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public_part(key)


def read_private_key(path: Path | str) -> Ed25519PrivateKey:
    """The private key in a PEM file; InputError, which repeats nothing of the file, when it holds none."""
    data = _one_block(Path(path), b"PRIVATE KEY", what="a private key")
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError as error:
        raise InputError(f"{path} has a passphrase; give a key without one, or {_MAKE}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} is not a private key in PEM; {_MAKE}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path} is not an Ed25519 key but another kind; {_MAKE}")
    return key


def read_public_key(path: Path | str) -> bytes:
    """The 32 bytes of the public key in a PEM file; InputError when it holds none."""
    data = _one_block(Path(path), b"PUBLIC KEY", what="a public key")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} is not a public key in PEM; {_MAKE}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path} is not an Ed25519 key but another kind; {_MAKE}")
    return key.public_bytes_raw()


def public_part(key: Ed25519PrivateKey) -> bytes:
    """The public key that belongs to a private one, 32 bytes."""
    return key.public_key().public_bytes_raw()


def verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` is that of ``message`` by the holder of the key."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: no point of the curve
        return False
    return True


def _one_block(path: Path, label: bytes, *, what: str) -> bytes:
    """The content of a file that holds one key: of several it would be unclear which is meant."""
    data = read_bytes(path, most=_MOST)
    if data.count(b"-----BEGIN") != 1 or label not in data:
        raise InputError(f"{path} does not hold {what} in PEM and nothing else; {_MAKE}")
    return data
