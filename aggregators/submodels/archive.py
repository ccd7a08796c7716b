"""The ``.npz`` of a sub-model: written with the smallest types that hold its numbers, read without trust."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from aggregators.submodels import about
from aggregators.submodels.about import About

Array = npt.NDArray[Any]

ENOUGH_BYTES = 64 * 2**20
"""Archives that unpack to more are written without compression."""
MOST_GROWN = 20
"""How many times larger than the archive its arrays may be, from ``ENOUGH_BYTES`` on: as in a bundle."""
MOST_MEMBERS = 64
MOST_HEADER_BYTES = 1000
ABOUT = "about"
DTYPES = frozenset({"i1", "i2", "i4", "u1", "f4", "f8"})
TYPES = tuple(np.dtype(each) for each in ("<i1", "<i2", "<i4"))


def write(described: About, arrays: Mapping[str, Array]) -> bytes:
    """Return the archive; the same bytes for the same arrays."""
    small = {ABOUT: np.frombuffer(described.to_json(), np.uint8)}
    small |= {name: narrow(array) for name, array in sorted(arrays.items())}
    stream = io.BytesIO()
    save = np.savez if sum(each.nbytes for each in small.values()) > ENOUGH_BYTES else np.savez_compressed
    save(stream, allow_pickle=False, **small)
    return stream.getvalue()


def narrow(array: Array) -> Array:
    """Return the array in the smallest type that holds exactly these numbers."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            single = array.astype("<f4")
        return single if np.array_equal(single, array) else array.astype("<f8")
    for dtype in TYPES:
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        if array.size == 0 or (least <= array.min() and array.max() <= most):
            return array.astype(dtype)
    raise ValueError(f"an array counts to {array.max():,}, which is more than 32 bits hold")


def read(data: bytes) -> tuple[About, dict[str, Array]]:
    """Read an archive of ``write``: what the sub-model is, and its arrays by name.

    Whole numbers come as int64 and the others as they were written; all of the latter are finite.

    Raises:
        ValueError: The bytes are something else, or unpack to too much; says what is wrong.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check(members, len(data))
            arrays = {each.filename.removesuffix(".npy"): _member(archive, each) for each in members}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise ValueError(f"it is no archive that can be read ({error})") from None
    if ABOUT not in arrays or arrays[ABOUT].dtype != np.uint8 or arrays[ABOUT].ndim != 1:
        raise ValueError("it does not say what it is: it was not made by this program")
    described = about.from_json(arrays.pop(ABOUT).tobytes())
    return described, {name: _usable(name, array) for name, array in arrays.items()}


def take(arrays: Mapping[str, Array], name: str, kind: str, *shape: int) -> Array:
    """Return an array of ``read``.

    Args:
        arrays: By name.
        name: Which.
        kind: "whole" or "number".
        shape: Of which -1 is any size.

    Raises:
        ValueError: It is missing, or of another type or shape.
    """
    if name not in arrays:
        raise ValueError(f"the array {name} is missing")
    found = arrays[name]
    if (found.dtype.kind == "f") != (kind == "number"):
        raise ValueError(f"the array {name} is {found.dtype}; it should hold {kind}s")
    if found.ndim != len(shape) or any(size not in (-1, has) for size, has in zip(shape, found.shape, strict=True)):
        wanted = " x ".join("any" if size < 0 else f"{size:,}" for size in shape)
        raise ValueError(f"the array {name} is {found.shape}; it should be {wanted}")
    return found


def _check(members: list[zipfile.ZipInfo], size_bytes: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"it has {len(members):,} arrays; the limit is {MOST_MEMBERS}")
    if len({each.filename for each in members}) < len(members):
        raise ValueError("two of its arrays have the same name")
    if any(each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for each in members):
        raise ValueError("it is compressed in another way than this program's")
    grown = sum(each.file_size for each in members)
    if grown > max(ENOUGH_BYTES, MOST_GROWN * size_bytes):
        raise ValueError(f"its {size_bytes:,} bytes unpack to {grown:,}, more than {MOST_GROWN} times as many")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Read one array, of which nothing is believed before it fits the member's size."""
    name = f"{member.filename!r:.60}"
    with archive.open(member) as stream:
        shape, dtype = _header(stream, name)
        size_bytes = math.prod(shape) * dtype.itemsize
        content = stream.read()
    if len(content) != size_bytes:
        raise ValueError(f"the array {name} has {len(content):,} bytes, and its header says {size_bytes:,}")
    return np.frombuffer(content, dtype).reshape(shape)


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("another version")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, MOST_HEADER_BYTES)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, EOFError) as error:
        raise ValueError(f"the array {name} has a header that cannot be read ({error!s:.100})") from None
    if dtype.str[1:] not in DTYPES or dtype.str[0] == ">" or (fortran and len(shape) > 1):
        raise ValueError(f"the array {name} is of the type {dtype}, which no sub-model has")
    if any(size < 0 for size in shape):
        raise ValueError(f"the array {name} has the shape {shape}")
    return shape, dtype


def _usable(name: str, array: Array) -> Array:
    if array.dtype.kind != "f":
        return array.astype(np.int64)
    if not np.isfinite(array).all():
        raise ValueError(f"the array {name!r:.60} has numbers that are infinite or none at all")
    return array
