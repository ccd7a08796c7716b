"""Cut text files into chunks by byte ranges that end on line borders."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Protocol

from splitters import MAX_ITEM_BYTES, Chunk, Item, NothingToSplit, PassedOver, files, tell_passed_over
from splitters.items import Items

MAX_CHUNK_ITEMS = 1000
HEAD_BYTES = 8000
"""The beginning of a file shows whether it is text, as for git."""
NO_TEXT = "not text: it holds binary data"
MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, ""),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, and what is to be decoded."""
NEVER_IN_TEXT = bytes({*range(0x20)} - {*b"\a\b\t\n\v\f\r\x1a\x1b\x1c\x1d\x1e\x1f"})
FEW = 50
"""At most one byte in 50 of a text is in ``NEVER_IN_TEXT``."""
LINE_PIECE_CHARS = 2**16


class Stream(Protocol):
    """A stream that a text is read from."""

    def read(self, size: int, /) -> bytes:
        """Return about ``size`` bytes."""
        ...

    def readline(self, size: int, /) -> bytes:
        r"""Return the bytes up to and with the next ``\n``, or about ``size`` bytes."""
        ...


def split(
    source: Sequence[Path] | Items, *, chunk_size: int = 8 * 2**20, passed_over: PassedOver | None = None
) -> Iterator[Chunk]:
    r"""Yield chunks of about ``chunk_size`` bytes; every byte of every text is in exactly one.

    A large file is cut after the first ``\n`` at or past each ``chunk_size``, so a line is never
    cut, however long; small files share a chunk, at most ``MAX_CHUNK_ITEMS`` of them. Bytes are
    not decoded: any encoding in which ``\n`` is the byte 10 will do. A file with a byte order mark may also
    be UTF-16 or UTF-32: its slices are UTF-8. The mark itself is in no slice.

    A binary file in a folder is passed over (see ``is_binary``); one that is given by itself is reported.
    A line over ``MAX_ITEM_BYTES`` is reported under its file, and the rest of that file is left out.
    Holds the bytes of one chunk and the next slice.

    Raises:
        NothingToSplit: No text file under ``source``.
    """
    if not 1 <= chunk_size <= MAX_ITEM_BYTES:
        raise ValueError(f"chunk_size is {chunk_size}; it must be 1 to {MAX_ITEM_BYTES} bytes")
    passed_over = passed_over or PassedOver()
    chunk: Chunk = []
    held_bytes = 0
    met_any = False
    for found in files.walk(source):
        for item in _slices(found, chunk_size):
            if item.problem == NO_TEXT and found.depth and not found.item:
                passed_over.add(found.path.name)
                continue
            met_any = True
            if chunk and (held_bytes + len(item.data) > chunk_size or len(chunk) == MAX_CHUNK_ITEMS):
                yield chunk
                chunk, held_bytes = [], 0
            chunk.append(item)
            held_bytes += len(item.data)
    if not met_any:
        others = f"; {told}" if (told := tell_passed_over(passed_over.shown())) else ""
        raise NothingToSplit(f"no text files in {files.places(source)}{others}")
    yield chunk


def count(source: Sequence[Path] | Items) -> int:
    """How many files ``split`` will meet, without reading one; those that it will pass over are among them."""
    return sum(1 for _ in files.walk(source))


def is_binary(head: bytes) -> bool:
    """Whether ``head`` begins no text: it has a byte 0, more control characters than any text, or is a PDF."""
    if b"\0" in head or head.startswith(b"%PDF-"):
        return True
    some = head[:1024]
    return (len(some) - len(some.translate(None, NEVER_IN_TEXT))) * FEW > len(some)


def _slices(found: files.Found, size: int) -> Iterator[Item]:
    """The file in slices of whole lines; always at least one item, the last marked as such."""
    try:
        with ExitStack() as held:
            opened: BinaryIO
            if found.item is not None:
                if found.item.problem:
                    yield found.item
                    return
                opened = io.BytesIO(found.item.data)
            else:
                path = held.enter_context(files.reached(found.path))
                if not path.is_file():
                    yield Item(found.name, b"", files.NO_FILE)
                    return
                opened = held.enter_context(path.open("rb"))
            stream = _text(opened)
            if stream is None:
                yield Item(found.name, b"", NO_TEXT)
                return
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


def _text(opened: BinaryIO) -> Stream | None:
    """The file from where its text begins; None if it is binary."""
    head = opened.read(HEAD_BYTES)
    mark, encoding = next((row for row in MARKS if head.startswith(row[0])), (b"", ""))
    if not encoding:
        opened.seek(len(mark))
        return None if is_binary(head[len(mark) :]) else opened
    shown = head.decode(encoding, "replace")
    broken = shown.count("\ufffd")
    if is_binary(shown.encode()) or (broken > 1 and broken * FEW > len(shown)):  # the last character may be cut
        return None
    opened.seek(0)
    return _AsUtf8(opened, encoding)


class _AsUtf8:
    """A file in an encoding whose byte order mark it begins with, as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding, errors="replace", newline="\n")

    def read(self, size: int) -> bytes:
        return self._text.read(max(1, size // 2)).encode()

    def readline(self, size: int) -> bytes:
        pieces = []
        while size > 0 and (piece := self._text.readline(LINE_PIECE_CHARS).encode()):
            pieces.append(piece)
            size -= len(piece)
            if piece.endswith(b"\n"):
                break
        return b"".join(pieces)


def _whole_lines(stream: Stream, size: int) -> bytes:
    """About ``size`` bytes up to a line border; over the limit where a line is too long."""
    data = stream.read(size)
    if data and not data.endswith(b"\n"):
        data += stream.readline(max(1, MAX_ITEM_BYTES + 1 - len(data)))
    return data
