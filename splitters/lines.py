"""Cut text files into chunks by byte ranges that end on line borders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from splitters import MAX_ITEM_BYTES, Chunk, Item, NothingToSplit, files

MAX_CHUNK_ITEMS = 1000


def split(source: Sequence[Path], *, chunk_size: int = 8 * 2**20) -> Iterator[Chunk]:
    r"""Yield chunks of about ``chunk_size`` bytes; every byte of every file is in exactly one.

    A large file is cut after the first ``\n`` at or past each ``chunk_size``, so a line is never
    cut, however long; small files share a chunk, at most ``MAX_CHUNK_ITEMS`` of them. Bytes are
    not decoded: any encoding in which ``\n`` is the byte 10 will do.

    A line over ``MAX_ITEM_BYTES`` is reported under its file, and the rest of that file is left out.
    Holds the bytes of one chunk and the next slice.

    Raises:
        NothingToSplit: No file under ``source``.
    """
    if not 1 <= chunk_size <= MAX_ITEM_BYTES:
        raise ValueError(f"chunk_size is {chunk_size}; it must be 1 to {MAX_ITEM_BYTES} bytes")
    chunk: Chunk = []
    held_bytes = 0
    met_any = False
    for found in files.walk(source):
        met_any = True
        for item in _slices(found, chunk_size):
            if chunk and (held_bytes + len(item.data) > chunk_size or len(chunk) == MAX_CHUNK_ITEMS):
                yield chunk
                chunk, held_bytes = [], 0
            chunk.append(item)
            held_bytes += len(item.data)
    if not met_any:
        raise NothingToSplit(f"no files in {', '.join(map(str, source))}")
    yield chunk


def count(source: Sequence[Path]) -> int:
    """How many files ``split`` will meet, without reading one."""
    return sum(1 for _ in files.walk(source))


def _slices(found: files.Found, size: int) -> Iterator[Item]:
    """The file in slices of whole lines; always at least one item, the last marked as such."""
    try:
        if not found.path.is_file():
            yield Item(found.name, b"", files.NO_FILE)
            return
        with found.path.open("rb") as stream:
            data = _whole_lines(stream, size)
            while True:
                if len(data) > MAX_ITEM_BYTES:
                    yield Item(found.name, b"", f"a line is over the limit of {MAX_ITEM_BYTES:,} bytes")
                    return
                following = _whole_lines(stream, size) if data else b""
                yield Item(found.name, data, last=not following)
                if not following:
                    return
                data = following
    except OSError as error:
        yield Item(found.name, b"", files.cannot_read(error))


def _whole_lines(stream: BinaryIO, size: int) -> bytes:
    """About ``size`` bytes up to a line border; over the limit by one byte where a line is too long."""
    data = stream.read(size)
    if data and not data.endswith(b"\n"):
        data += stream.readline(max(1, MAX_ITEM_BYTES + 1 - len(data)))
    return data
