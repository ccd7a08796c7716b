"""Read NumPy's .npz files in blocks: ``X`` and ``y``, or an array for each column. Nothing in them is unpickled."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitters.tables import columns, source, targets, values
from splitters.tables.columns import Block, Columnar
from splitters.tables.scaling import Scaler
from splitters.tables.source import Source, Wanted

NAMES, CLASSES = "names", "classes"
"""Arrays that name the columns of ``X``, and the classes of a ``y`` that counts them."""


class Member(NamedTuple):
    """An array in the file, as its header tells."""

    name: str
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return self.dtype.itemsize * prod(self.shape[1:])


class Npz:
    """The arrays of a file, which messages call by ``name``.

    Raises:
        ValueError: It is no such file, or an array is of objects.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or path.name
        try:
            with zipfile.ZipFile(path) as opened:
                names = [name for name in opened.namelist() if name.endswith(".npy")]
                self.members = {name[:-4]: self._member(opened, name) for name in names}
        except zipfile.BadZipFile:
            raise ValueError(f"{self.name} is damaged, or no .npz file: save it with numpy.savez") from None
        if not self.members:
            raise ValueError(f"{self.name} has no arrays: save it with numpy.savez")

    def read(self, name: str) -> NDArray[Any]:
        """One whole array."""
        member = self.members[name]
        found = list(self.blocks(name, max(1, member.shape[0]))) if member.shape else []
        if not member.shape:
            raise ValueError(f"the array {name!r} of {self.name} is one value, not rows")
        return found[0] if found else np.empty(member.shape, member.dtype)

    def blocks(self, name: str, block_rows: int) -> Iterator[NDArray[Any]]:
        """The rows of an array in blocks. One whose columns lie together (Fortran's order) is held as a whole."""
        member = self.members[name]
        try:
            with zipfile.ZipFile(self.path) as opened, opened.open(f"{name}.npy") as file:
                if member.is_fortran:
                    whole = np.lib.format.read_array(file, allow_pickle=False)
                    for at in range(0, len(whole), block_rows):
                        yield whole[at : at + block_rows]
                    return
                _header(file)
                for at in range(0, member.shape[0], block_rows):
                    rows = min(block_rows, member.shape[0] - at)
                    data = file.read(rows * member.row_bytes)
                    yield np.frombuffer(data, member.dtype).reshape(rows, *member.shape[1:])
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            raise ValueError(f"the array {name!r} of {self.name} is damaged: {error}") from None

    def _member(self, opened: zipfile.ZipFile, name: str) -> Member:
        with opened.open(name) as file:
            try:
                shape, is_fortran, dtype = _header(file)
            except ValueError as error:
                raise ValueError(f"the array {name[:-4]!r} of {self.name} cannot be read: {error}") from None
        if dtype.hasobject:
            raise ValueError(
                f"the array {name[:-4]!r} of {self.name} holds Python objects, which are never loaded: save"
                " numbers or texts, as X.astype(float)"
            )
        return Member(name[:-4], shape, is_fortran, dtype)


def read(path: Path, wanted: Wanted, like: Source | None = None) -> Source:
    """Look through a file: ``X`` and ``y`` (or the target), or without ``X`` an array for each column.

    Raises:
        ValueError: It cannot be learned from; the message says what to do.
    """
    npz = Npz(path)
    target = wanted.target or "y"
    if target not in npz.members:
        raise source.no_such("array", target, list(npz.members), path.name)
    class_names = _texts(npz, CLASSES)
    goal = targets.of_array(npz.read(target), target, class_names)
    if "X" not in npz.members:
        table = _table(npz, {target, CLASSES}, goal.rows, wanted, is_first=like is None)
        return columns.read(table, wanted._replace(target=target, drop=()), goal, like)
    member = npz.members["X"]
    if not member.shape or member.shape[0] != goal.rows:
        raise ValueError(f"X of {path.name} has the shape {member.shape}, and {target} has {goal.rows:,} rows")
    if not goal.rows:
        raise ValueError(f"{path.name} has no rows")
    if member.dtype.kind not in "fiub":
        raise ValueError(f"X of {path.name} is of dtype {member.dtype}: it must hold numbers. Save texts as columns")
    kept, names = _kept(npz, wanted, like)
    shape, picture = _shape((len(kept), *member.shape[2:]) if len(member.shape) == 2 else member.shape[1:], wanted)
    keeps_bytes = member.dtype == np.uint8 and len(shape) == 3
    if like is None:
        encoder: source.Encoder = Scaler(shape, keeps_bytes=keeps_bytes, names=names)
    else:
        encoder = like.encoder
        first = tuple(encoder.described().input_shape)
        if like.kind != "arrays" or shape != first:
            raise ValueError(f"a row of {path.name} has the shape {shape}, and one of the training rows {first}")
    decided = targets.decide(goal, f"the target {target!r}", like.classes if like else None, where=path.name)
    is_last = len(member.shape) == 4 and member.shape[-1] in (1, 3) and member.shape[1] not in (1, 3)

    def blocks() -> Iterator[NDArray[Any]]:
        start = 0
        for block in npz.blocks("X", wanted.block_rows):
            is_there = decided.is_there[start : start + len(block)]
            _check_finite(block, start, names, path)
            start += len(block)
            raw = block[is_there]
            if raw.ndim == 2:
                raw = raw[:, kept]
            if is_last:
                raw = np.moveaxis(raw, -1, 1)
            if raw.dtype.kind != "f" and not keeps_bytes:
                raw = raw.astype(np.float64)
            yield np.ascontiguousarray(raw.reshape(len(raw), *shape))

    return Source(
        path.name, "arrays", target, decided.y, decided.classes, blocks, encoder, picture, notes=decided.notes
    )


def rows_of(npz: Npz) -> list[str]:
    """The arrays with a row for each row of the file: ``X`` and the columns beside it; without ``X`` all.

    Raises:
        ValueError: They are of different lengths.
    """
    sizes = {name: member.shape for name, member in npz.members.items()}
    if "X" in sizes:
        if not sizes["X"]:
            raise ValueError(f"the array 'X' of {npz.name} is one value, not rows")
        return ["X", *(name for name, shape in sizes.items() if name != "X" and shape == sizes["X"][:1])]
    found = [name for name in sizes if name != CLASSES]
    if not found:
        raise ValueError(f"{npz.name} has no array X, and no columns")
    for name in found:
        if len(sizes[name]) != 1 or sizes[name] != sizes[found[0]]:
            raise ValueError(
                f"the array {name!r} of {npz.name} has the shape {sizes[name]}, and {found[0]!r} {sizes[found[0]]}:"
                " give an array X, or columns of one length"
            )
    return found


def _kept(npz: Npz, wanted: Wanted, like: Source | None) -> tuple[list[int], list[str] | None]:
    """Which columns of ``X`` are kept, and their names if there are any."""
    width = npz.members["X"].shape[1] if len(npz.members["X"].shape) > 1 else 0
    names = _texts(npz, NAMES)
    if names is None:
        if wanted.drop and like is None:
            raise ValueError(f"--drop names columns, and X of {npz.path.name} has no names: add an array 'names'")
        return list(range(width)), None
    if len(names) != width:
        raise ValueError(f"'names' of {npz.path.name} has {len(names)} names, and X has {width} columns")
    for name in wanted.drop:
        if name not in names:
            raise source.no_such("column", name, names, npz.path.name)
    kept = [at for at, name in enumerate(names) if name not in wanted.drop]
    if not kept:
        raise ValueError(f"--drop leaves no column of {npz.path.name} to learn from")
    return kept, [names[at] for at in kept]


def _shape(row: Sequence[int], wanted: Wanted) -> tuple[tuple[int, ...], dict[str, Any] | None]:
    """The shape of a row for the net, and the picture that it is, if it is one."""
    if len(row) == 0 or len(row) > 3 or 0 in row:
        raise ValueError(f"a row of X has the shape {tuple(row)}: it must have one to three dimensions, none of them 0")
    if wanted.grey:
        raise ValueError("--grey is for folders of pictures")
    if len(row) == 3:
        row = (row[2], row[0], row[1]) if row[2] in (1, 3) and row[0] not in (1, 3) else row
    elif wanted.size is not None:
        width, height = wanted.size
        if width * height != prod(row):
            raise ValueError(f"--size {width}x{height} is {width * height} values, and a row of X has {prod(row)}")
        row = (1, height, width)
    if len(row) < 3:
        return tuple(row), None
    channels, height, width = row
    if wanted.size not in (None, (width, height)):
        raise ValueError(f"the pictures in X are {width}x{height}: leave out --size")
    return tuple(row), {"width": width, "height": height, "grey": channels == 1}


def _table(npz: Npz, without: set[str], rows: int, wanted: Wanted, *, is_first: bool) -> Columnar:
    """The arrays as columns."""
    for name in wanted.drop if is_first else ():
        if name not in npz.members:
            raise source.no_such("array", name, list(npz.members), npz.path.name)
    names = [name for name in npz.members if name not in without and name not in wanted.drop]
    if not names:
        raise ValueError(f"{npz.path.name} has no array X, and no columns besides its target")
    for name in names:
        member = npz.members[name]
        if member.shape != (rows,):
            raise ValueError(
                f"the array {name!r} of {npz.path.name} has the shape {member.shape}, and the target {rows:,} rows:"
                f" give an array X, or columns of one length; --drop {name} leaves it out"
            )
        if member.dtype.kind not in "fiubUS":
            raise ValueError(f"the array {name!r} of {npz.path.name} is of dtype {member.dtype}: save numbers or texts")

    def blocks() -> Iterator[Block]:
        read = [npz.blocks(name, wanted.block_rows) for name in names]
        for number, arrays in enumerate(zip(*read, strict=True)):
            place = functools.partial(_place, npz.path.name, number * wanted.block_rows)
            yield Block([_column(array) for array in arrays], place)

    return Columnar(npz.path.name, names, blocks)


def _place(file: str, start: int, at: int) -> str:
    return f"row {start + at} of {file}"


def _column(array: NDArray[Any]) -> columns.Values:
    if array.dtype.kind in "US":
        return [str(text).strip() for text in array.astype(str)]
    return array.astype(np.float64)


def _check_finite(block: NDArray[Any], start: int, names: Sequence[str] | None, path: Path) -> None:
    if block.dtype.kind == "f" and (too_large := values.is_too_large(block)).any():
        row, *rest = (int(one) for one in np.argwhere(too_large)[0])
        column = repr(names[rest[0]]) if names and len(rest) == 1 else str(tuple(rest) if len(rest) > 1 else rest[0])
        values.check_finite(block[row].ravel(), f"column {column} of X", lambda _: f"row {start + row} of {path.name}")


def _texts(npz: Npz, name: str) -> list[str] | None:
    """The texts of an array, if the file has one of this name."""
    if name not in npz.members:
        return None
    return [str(text) for text in npz.read(name).ravel()]


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns lie together, and dtype of an .npy file; what follows are its numbers."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(
        f"it is in version {version[0]}.{version[1]} of the format: save its columns as arrays of their own"
    )
