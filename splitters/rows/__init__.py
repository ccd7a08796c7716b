"""Cut tables, arrays, or pictures into blocks of rows, for a model to answer.

An item is a block of rows in the order of the input, ``letters.csv rows 16384-32767``: rows are counted from 0 over
all files. Its bytes are of one of these forms, which ``blocks.read`` tells apart:

| form | bytes |
| --- | --- |
| CSV | a byte order mark, the header of its file, then the block's lines as they stand there |
| npz | an array for each column, or ``X``; of a Parquet file, too |
| JSON | a list of rows, each an object, or a row a line |
| a picture | the file itself; such an item is named after it |
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from splitters import Chunk, Item, NothingToSplit, PassedOver, files, pictures, suffixes, tell_passed_over
from splitters.items import Items

CHUNK_SIZE = 16_384
BLOCK_BYTES = 4 * 2**20
"""A block is closed there, however few rows it has."""
PICTURES = 512
"""A picture counts as so many rows where a chunk's size is told."""
NAME = re.compile(r"(?s).* (?:rows (\d+)-(\d+)|without rows at (\d+))")


def split(
    source: Sequence[Path] | Items, *, chunk_size: int = CHUNK_SIZE, passed_over: PassedOver | None = None
) -> Iterator[Chunk]:
    """Yield a block of up to ``chunk_size`` rows at a time; or of pictures a ``PICTURES``th of that, one or more.

    A CSV file is cut at line ends outside of quotation marks; its fields are not looked at. Holds a block of a CSV
    file, of lines with JSON, or of a Parquet file, which has at least one of its row groups in memory; the arrays of
    an .npz file that were saved column by column; and a JSON file as a whole.

    Raises:
        ImportError: NumPy is not installed; or PyArrow, and a file is Parquet.
        NothingToSplit: No table and no picture in the source.
        ValueError: A file cannot be cut; the message says what to do.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; it must be 1 or more rows")
    from splitters.rows import sources

    passed_over = passed_over or PassedOver()
    walking = walk(source, passed_over)
    first = next(walking, None)
    if first is None:
        others = f"; {told}" if (told := tell_passed_over(passed_over.shown())) else ""
        raise NothingToSplit(f"no tables and no pictures in {files.places(source)}{others}")
    found = itertools.chain([first], walking)
    if not sources.is_picture(first):
        return sources.blocks(found, chunk_size)
    return pictures.deal(
        sources.only_pictures(found), files.read, source, max(1, chunk_size // PICTURES), passed_over
    )  # fmt: skip


def count(source: Sequence[Path] | Items, *, chunk_size: int = CHUNK_SIZE) -> int:
    """About how many blocks and pictures ``split`` will give; reads only how tables begin."""
    from splitters.rows import sources

    return sum(1 if sources.is_picture(found) else sources.expected(found, chunk_size) for found in walk(source))


def walk(source: Sequence[Path] | Items, passed_over: PassedOver | None = None) -> Iterator[files.Found]:
    """Every table and picture under ``source``; a file that is given by name whatever its suffix."""
    taken = suffixes.PICTURES | suffixes.ROWS
    return files.walk(source, taken, lambda head: pictures.HEADS.match(head) is not None, passed_over)


def block(file: str, start: int, number: int, data: bytes) -> Item:
    """An item of ``number`` rows from row ``start``."""
    rows = f"rows {start}-{start + number - 1}" if number else f"without rows at {start}"
    return Item(f"{file} {rows}", data)


def place(name: str) -> tuple[int, int] | None:
    """The first row of an item and how many it has, by its name; None where that does not tell."""
    found = NAME.fullmatch(name)
    if found is None:
        return None
    return (int(found[1]), int(found[2]) - int(found[1]) + 1) if found[1] else (int(found[3]), 0)
