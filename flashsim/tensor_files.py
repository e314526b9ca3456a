"""Arrays in safetensors files, read without trust: regular files of a bounded size, with types that numpy knows."""

import hashlib
from pathlib import Path
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from flashsim.errors import InputError
from flashsim.files import MIB, json_in, read_bytes
from flashsim.shown import brief

MOST_TENSORS: Final = 4096 * MIB
"""Bytes of a file; larger ones are not ours."""
_DTYPES: Final = frozenset(("BOOL", "U8", "I8", "U16", "I16", "F16", "U32", "I32", "F32", "U64", "I64", "F64"))


class TensorFile(NamedTuple):
    """What a safetensors file holds."""

    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def read_tensors(path: Path, *, sha256: object, advice: str) -> dict[str, NDArray[Any]]:
    """Arrays of a safetensors file of known SHA-256; InputError, with ``advice``, when it is missing or changed."""
    data = read_bytes(path, most=MOST_TENSORS, advice=advice)
    seen = hashlib.sha256(data).hexdigest()
    if seen != sha256:
        raise InputError(
            f"{path} is truncated or was changed: its SHA-256 is {seen[:12]}…, expected {str(sha256)[:12]}…; {advice}"
        )
    return _tensors_in(data, path, advice=advice).arrays


def read_tensor_file(path: Path, *, what: str, advice: str) -> TensorFile:
    """Arrays and metadata of ``what`` a safetensors file holds; InputError, with ``advice``, when it holds none."""
    return _tensors_in(read_bytes(path, most=MOST_TENSORS, advice=advice), path, what=what, advice=advice)


def _tensors_in(data: bytes, path: Path, *, what: str = "a safetensors file", advice: str) -> TensorFile:
    try:
        header = json_in(data[8 : 8 + int.from_bytes(data[:8], "little")])
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        metadata = header.pop("__metadata__", {})
        for name, entry in header.items():
            dtype = entry.get("dtype") if isinstance(entry, dict) else None
            if dtype not in _DTYPES:
                raise ValueError(f"{brief(name)} has numbers of the type {brief(dtype)}, which numpy does not have")
        return TensorFile(load_tensors(data), metadata)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not {what} ({error}); {advice}") from error
