"""Cut files into blocks of rows, each kind in its way."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from splitters import MAX_ITEM_BYTES, Chunk, Item, files, pictures, suffixes
from splitters.rows import BLOCK_BYTES, block, csv_text
from splitters.rows.csv_text import Records
from splitters.tables import npz_files, parquet_files

SAMPLE_BYTES = 2**18
"""Of a text, that tell how long its lines are."""
MAX_RECORD_BYTES = 16 * 2**20
"""A row of text that is longer is none."""
SPREADSHEETS = frozenset({".xlsx", ".xls", ".ods"})
Block = tuple[int, bytes]
"""How many rows, and their bytes."""


class Unreadable(ValueError):
    """The rest of a file cannot be cut; what came before it was."""


class Opened(NamedTuple):
    """A file of rows."""

    name: str
    suffix: str
    stream: BinaryIO
    head: bytes


def is_picture(found: files.Found) -> bool:
    """Whether a file is one, by its suffix; by how it begins where that is of no kind that is known."""
    suffix = found.path.suffix.lower()
    if suffix in suffixes.PICTURES:
        return True
    head = found.item.data[:64] if found.item else files.head(found.path)
    return pictures.HEADS.match(head) is not None


def only_pictures(walking: Iterator[files.Found]) -> Iterator[files.Found]:
    """The same.

    Raises:
        ValueError: A table is among them.
    """
    for found in walking:
        if not is_picture(found):
            raise ValueError(f"give tables or pictures, not both: {found.name} is no picture")
        yield found


def blocks(walking: Iterator[files.Found], chunk_size: int) -> Iterator[Chunk]:
    """Cut tables.

    Raises:
        ValueError: A picture is among them, or a file cannot be cut from its beginning.
    """
    start = 0
    for found in walking:
        if is_picture(found):
            raise ValueError(f"give tables or pictures, not both: {found.name} is a picture")
        if found.item is not None and found.item.problem:
            yield [found.item]
            continue
        with _open(found) as opened:
            try:
                for number, data in _cut(opened, chunk_size):
                    yield [block(found.name, start, number, data)]
                    start += number
            except Unreadable as error:
                yield [Item(found.name, b"", str(error))]


@contextmanager
def _open(found: files.Found) -> Iterator[Opened]:
    """Open a file, which may be given by its bytes.

    Raises:
        OSError: It cannot be read.
    """
    suffix = found.path.suffix.lower()
    if found.item is not None:
        yield Opened(found.name, suffix, io.BytesIO(found.item.data), found.item.data[:64])
        return
    with files.reached(found.path) as path, path.open("rb") as stream:
        head = stream.read(64)
        stream.seek(0)
        yield Opened(found.name, suffix, stream, head)


def _cut(opened: Opened, chunk_size: int) -> Iterator[Block]:
    if opened.suffix in SPREADSHEETS:
        raise ValueError(f"{opened.name} is a spreadsheet: save it as CSV in UTF-8")
    if opened.head[:4] == b"PAR1":
        return _of_parquet(opened, chunk_size)
    if opened.head[:2] == b"PK" or opened.suffix == ".npz":
        return _of_npz(opened, chunk_size)
    first = opened.head.removeprefix(csv_text.MARK).lstrip()[:1]
    if opened.suffix in (".jsonl", ".ndjson") or (first == b"{" and opened.suffix not in (".csv", ".tsv")):
        return _of_lines(opened, chunk_size)
    if opened.suffix == ".json" or (first == b"[" and opened.suffix not in (".csv", ".tsv")):
        return _of_json(opened, chunk_size)
    return _of_csv(opened, chunk_size)


def _of_csv(opened: Opened, chunk_size: int) -> Iterator[Block]:
    head = opened.stream.read(BLOCK_BYTES).removeprefix(csv_text.MARK)
    header = csv_text.header(head, opened.name)

    def find(data: bytes, *, is_end: bool) -> Records:
        return csv_text.records(data, header.delimiter, is_end=is_end)

    made = False
    for number, data in _of_text(opened, chunk_size, head[len(header.text) :], find):
        made = True
        yield number, csv_text.MARK + header.text + (b"" if header.text.endswith((b"\n", b"\r")) else b"\n") + data
    if not made:
        yield 0, csv_text.MARK + header.text


def _of_lines(opened: Opened, chunk_size: int) -> Iterator[Block]:
    def find(data: bytes, *, is_end: bool) -> Records:
        return csv_text.records(data.replace(b'"', b"x"), ",", is_end=is_end)

    head = opened.stream.read(BLOCK_BYTES).removeprefix(csv_text.MARK)
    return _of_text(opened, chunk_size, head, find)


def _of_text(opened: Opened, chunk_size: int, data: bytes, find: Callable[..., Records]) -> Iterator[Block]:
    """Cut text, of which ``data`` was read already, where a record ends."""
    rows = 0
    is_end = False
    while not is_end:
        following = opened.stream.read(BLOCK_BYTES)
        is_end = not following
        found = find(data, is_end=is_end)
        ends, done, at = found.ends, 0, 0
        is_too_long = not is_end and len(data) - (int(ends[-1]) if len(ends) else 0) > MAX_RECORD_BYTES
        while at < len(ends):
            fits = int(np.searchsorted(ends, done + BLOCK_BYTES, side="right"))
            number = min(chunk_size, max(1, fits - at))
            if at + number == len(ends) and not (is_end or is_too_long):
                break  # more rows may belong to it
            end = int(ends[at + number - 1])
            yield number, data[done:end]
            done, at, rows = end, at + number, rows + number
        data = data[done:] + following
        if is_too_long:
            why = "a quotation mark is left open" if found.is_open else "it has no line end"
            raise Unreadable(f"row {rows:,} is longer than {MAX_RECORD_BYTES:,} bytes, so the rest is left out: {why}")


def _of_json(opened: Opened, chunk_size: int) -> Iterator[Block]:
    data = opened.stream.read(MAX_ITEM_BYTES + 1)
    if len(data) > MAX_ITEM_BYTES:
        raise ValueError(
            f"{opened.name} is over the limit of {MAX_ITEM_BYTES:,} bytes for one JSON text: save it with a row a line"
        )
    try:
        rows = orjson.loads(data.removeprefix(csv_text.MARK))
    except ValueError as error:
        raise ValueError(f"{opened.name} is no JSON: {error}") from None
    if not isinstance(rows, list):
        raise ValueError(f"{opened.name} holds no list: give a list of rows, each an object")
    for at in range(0, max(1, len(rows)), chunk_size):
        some = rows[at : at + chunk_size]
        yield len(some), orjson.dumps(some)


def _of_npz(opened: Opened, chunk_size: int) -> Iterator[Block]:
    with _as_path(opened) as path:
        npz = npz_files.Npz(path, opened.name)
        members = npz_files.rows_of(npz)
        number = npz.members[members[0]].shape[0]
        size = _rows_of_arrays(chunk_size, sum(npz.members[name].row_bytes for name in members))
        whole = {name: npz.read(name) for name in (npz_files.NAMES,) if "X" in members and name in npz.members}
        if not number:
            yield 0, _saved({**whole, **{name: npz.read(name) for name in members}})
        reading = [npz.blocks(name, size) for name in members]
        for arrays in zip(*reading, strict=True):
            yield len(arrays[0]), _saved({**whole, **dict(zip(members, arrays, strict=True))})


def _of_parquet(opened: Opened, chunk_size: int) -> Iterator[Block]:
    with _as_path(opened) as path:
        for columns in parquet_files.blocks(path, opened.name, chunk_size):
            arrays = {name: np.array(values) for name, values in columns.items()}
            number = len(next(iter(arrays.values())))
            yield number, _saved(arrays)


def _rows_of_arrays(chunk_size: int, row_bytes: int) -> int:
    return max(1, min(chunk_size, BLOCK_BYTES // max(1, row_bytes)))


def expected(found: files.Found, chunk_size: int) -> int:
    """About how many blocks a table gives, by its beginning or by what its header tells; at least 1."""
    with _open(found) as opened:
        size = opened.stream.seek(0, io.SEEK_END)
        opened.stream.seek(0)
        if opened.head[:4] == b"PAR1":
            number, row_bytes = parquet_files.rows(found.path, found.name), 0
        elif opened.head[:2] == b"PK":
            npz = npz_files.Npz(found.path, found.name)
            members = npz_files.rows_of(npz)
            number = npz.members[members[0]].shape[0]
            row_bytes = sum(npz.members[name].row_bytes for name in members)
        else:
            sample = opened.stream.read(SAMPLE_BYTES)
            lines = max(1, sample.count(b"\n") + (size <= len(sample) and not sample.endswith(b"\n")))
            row_bytes = -(-len(sample) // lines)
            has_header = opened.suffix not in (".jsonl", ".ndjson")
            number = size * lines // max(1, len(sample)) - has_header
    return max(1, -(-number // _rows_of_arrays(chunk_size, row_bytes)))


def _saved(arrays: dict[str, NDArray[Any]]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


@contextmanager
def _as_path(opened: Opened) -> Iterator[Path]:
    """A path to the file, which is written to one where its bytes were given."""
    if not isinstance(opened.stream, io.BytesIO):
        yield Path(opened.stream.name)
        return
    with tempfile.TemporaryDirectory(prefix="cluster-rows-") as folder:
        path = Path(folder) / "given"
        path.write_bytes(opened.stream.getvalue())
        yield path
