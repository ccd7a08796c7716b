"""The ``.npz`` of a sub-model: written with the smallest types that hold its numbers, read without trust."""

from __future__ import annotations

import ast
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregators.submodels import about
from aggregators.submodels.about import About

Array = npt.NDArray[Any]

ENOUGH_BYTES = 4 * 2**20
MOST_GROWN = 16
"""How many times larger than the archive its arrays may be, from ``ENOUGH_BYTES`` on; a bundle may hold a little
more. Arrays that can be compressed more than that are not compressed."""
MOST_BYTES = 2**30
"""Of all arrays; whole numbers take up to eight times as much once they are read."""
MOST_MEMBERS = 64
MOST_HEADER_BYTES = 1000
MOST_DIMENSIONS = 2
MOST_NUMBER = 1e20
"""In absolute terms, of weights and the like: no product of ``spec.MOST_LAYERS`` of them overflows."""
ABOUT = "about"
BOUND = "threshold"
"""The only array of larger numbers: any that are finite."""
HEADER = frozenset({"descr", "fortran_order", "shape"})
DTYPES = frozenset({"|u1", "|i1", "<i2", "<i4", "<f4", "<f8"})
TYPES = tuple(np.dtype(each) for each in ("<i1", "<i2", "<i4"))


def write(described: About, arrays: Mapping[str, Array]) -> bytes:
    """Return the archive; the same bytes for the same arrays.

    Raises:
        ValueError: A number is infinite, none at all, or too large: whatever made the model went wrong. Or the arrays
            are larger than ``MOST_BYTES``.
    """
    small = {ABOUT: np.frombuffer(described.to_json(), np.uint8)}
    small |= {name: narrow(_usable(name, array)) for name, array in sorted(arrays.items())}
    if (size_bytes := sum(each.nbytes for each in small.values())) > MOST_BYTES:
        raise ValueError(f"its arrays have {size_bytes:,} bytes, over the limit of {MOST_BYTES:,}: make it smaller")
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **small)
    if size_bytes > max(ENOUGH_BYTES, MOST_GROWN * stream.tell()):
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **small)
    return stream.getvalue()


def narrow(array: Array) -> Array:
    """Return the array, in C order, in the smallest type that holds exactly these numbers."""
    array = np.ascontiguousarray(array)
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

    Whole numbers come as int64 and the others as they were written, finite and not too large.

    Raises:
        ValueError: The bytes are something else, or unpack to too much; says what is wrong.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check(members, len(data))
            arrays = {each.filename.removesuffix(".npy"): _member(archive, each) for each in members}
    except UNREADABLE as error:
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


def only(arrays: Iterable[str], *names: str) -> None:
    """Say that there are arrays that nobody asked for.

    Raises:
        ValueError: There are.
    """
    if odd := sorted(set(arrays) - set(names)):
        raise ValueError(f"the array {odd[0]!r:.60} is unknown; it has {', '.join(names)}")


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
    if grown > MOST_BYTES:
        raise ValueError(f"its {size_bytes:,} bytes unpack to {grown:,}, over the limit of {MOST_BYTES:,}")


UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, OSError, EOFError)
"""What ``zipfile`` raises over bytes that are no archive of this program's."""


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Read one array, of which nothing is believed before it fits the member's size."""
    name = f"{member.filename!r:.60}"
    with archive.open(member) as stream:
        content = stream.read()
    if content[:8] != b"\x93NUMPY\1\0":
        raise ValueError(f"the array {name} is none of NumPy's")
    start = 10 + int.from_bytes(content[8:10], "little")
    shape, dtype = _header(content[10:start], name)
    size_bytes = math.prod(shape) * dtype.itemsize
    if len(content) - start != size_bytes:
        raise ValueError(f"the array {name} has {len(content) - start:,} bytes, and its header says {size_bytes:,}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def _header(text: bytes, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if len(text) > MOST_HEADER_BYTES:
        raise ValueError(f"the array {name} has a header of {len(text):,} bytes")
    try:
        told = ast.literal_eval(text.decode("ascii"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.keys() != HEADER:
        raise ValueError(f"the array {name} has a header that cannot be read")
    dtype, shape = told["descr"], told["shape"]
    if not isinstance(dtype, str) or dtype not in DTYPES or told["fortran_order"] is not False:
        raise ValueError(f"the array {name} is of the type {dtype!r:.40}, which no sub-model has")
    whole = isinstance(shape, tuple) and all(type(size) is int and 0 <= size < 2**31 for size in shape)
    if not whole or len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"the array {name} has the shape {shape!r:.80}")
    return shape, np.dtype(dtype)


def _usable(name: str, array: Array) -> Array:
    if array.dtype.kind != "f":
        return array.astype(np.int64)
    if not np.isfinite(array).all():
        raise ValueError(f"the array {name!r:.60} has numbers that are infinite or none at all")
    if name != BOUND and array.size and max(array.max(), -array.min()) > MOST_NUMBER:
        raise ValueError(f"the array {name!r:.60} has numbers above {MOST_NUMBER:g}")
    return array
