"""The pages of a TIFF, each as a TIFF of its own, without decoding a pixel."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import BinaryIO, Literal, NamedTuple, Protocol, TypeVar

from splitters import MAX_ITEM_BYTES

HEADS = (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")
MOST_PAGES = 20_000
MOST_DIRECTORY_BYTES = 2**24
"""More of them stand in no file that is what it says."""
MOST_TIMES = 100
"""All pages of a file together have at most this many times its bytes, or ``MAX_ITEM_BYTES``."""
REDUCED, MASK = 1, 4
"""Bits of the tag NewSubfileType: a smaller copy of another page, a mask of it."""
OLD_REDUCED = 2
"""The value of the older tag SubfileType for the former."""
MASK_PHOTOMETRIC = 4
SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 254, 255, 256, 257, 258, 259, 262, 277
STRIPS, STRIP_BYTES, TILES, TILE_BYTES = 273, 279, 324, 325
OLD_JPEG = range(512, 522)
"""Tags that hold places of tables, each in a way of its own."""
YCBCR = 6
POINTERS = frozenset({288, 289, 330, 400, 34665, 34853, 40965})
"""Tags that point into the file, to what no reader of pixels needs."""
SHORT, LONG, LONG8 = 3, 4, 16
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Type of a value -> its bytes."""


class Entry(NamedTuple):
    """A tag of a directory."""

    kind: int
    number: int
    """Of its values."""
    field: bytes
    """The value, or where it stands."""


class Directory(NamedTuple):
    """The directory of one picture; without tags where the file ends before it does."""

    start: int
    order: Literal["little", "big"]
    word: int
    """Bytes of an offset: 4 in a TIFF, 8 in a BigTIFF."""
    tags: Mapping[int, Entry]

    def value(self, tag: int, default: int) -> int:
        """The first number of a tag that stands in the directory itself."""
        entry = self.tags.get(tag)
        if entry is None or not 0 < entry.number * SIZES.get(entry.kind, 99) <= self.word:
            return default
        return int.from_bytes(entry.field[: SIZES[entry.kind]], self.order)


class HasTags(Protocol):
    """A directory, as far as it tells whether it is a page."""

    def value(self, tag: int, default: int) -> int:
        """The first number of a tag; ``default`` where there is none."""


Tagged = TypeVar("Tagged", bound=HasTags)


class CannotCut(ValueError):
    """The pages of this file belong together: only the whole of it can be read."""


class Damaged(ValueError):
    """Why a page cannot be read."""


def pages(stream: BinaryIO) -> list[Directory]:
    """The pictures of a TIFF that are pages, one at least; ``MOST_PAGES`` and one where there are more.

    A smaller copy and a mask of another page are none. Where the list of pages is cut off, its last entry stands for
    the rest, and has no tags.
    """
    return true_pages(list(islice(_directories(stream), MOST_PAGES + 1)))


def true_pages(found: Sequence[Tagged]) -> list[Tagged]:
    """Those of these directories that are pages, the first where none seems to be: no smaller copies, and no masks."""
    areas = [one.value(WIDTH, 0) * one.value(HEIGHT, 0) for one in found]
    kinds = [_kind(one) for one in found]
    largest = max((area for area, kind in zip(areas, kinds, strict=True) if kind == 0), default=0)
    # Some programs call all pages copies. A true one has a fraction of the pixels.
    chosen = [
        one
        for one, area, kind in zip(found, areas, kinds, strict=True)
        if not kind & MASK and not (kind & REDUCED and 2 * area <= largest)
    ]
    return chosen or list(found[:1])


def check(stream: BinaryIO, pages: Sequence[Directory]) -> None:
    """See that each of these pages can be cut out.

    Raises:
        CannotCut: One cannot, or all together would have many times the bytes of the file.
    """
    size = stream.seek(0, 2)
    total = 0
    for page in pages:
        if page.tags:
            _, _, counts = _pieces(stream, page, size)
            total += sum(counts)
    if total > max(MAX_ITEM_BYTES, MOST_TIMES * size):
        raise CannotCut


def cut(stream: BinaryIO, page: Directory) -> bytes:
    """The page as a file of its own, with its pixels as they are packed.

    Raises:
        Damaged: The file ends before its directory, or it has more bytes than an item may have.
        CannotCut: See ``check``.
    """
    if not page.tags:
        raise Damaged("damaged: the list of pages is cut off here")
    place, offsets, counts = _pieces(stream, page, stream.seek(0, 2))
    if (size := sum(counts)) > MAX_ITEM_BYTES:
        raise Damaged(f"{size:,} bytes is over the limit of {MAX_ITEM_BYTES:,}")
    pieces = [_read(stream, at, length) for at, length in zip(offsets, counts, strict=True)]
    return _written(stream, page, place, pieces)


def _kind(one: HasTags) -> int:
    kind = one.value(SUBFILE, 0) & (REDUCED | MASK)
    if one.value(OLD_SUBFILE, 0) == OLD_REDUCED:
        kind |= REDUCED
    return kind | MASK if one.value(PHOTOMETRIC, 0) == MASK_PHOTOMETRIC else kind


def _directories(stream: BinaryIO) -> Iterator[Directory]:
    left = min(stream.seek(0, 2), MOST_DIRECTORY_BYTES)
    head = _read(stream, 0, 16)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    word = 8 if 43 in head[2:4] else 4
    count_bytes, entry_bytes = (2, 12) if word == 4 else (8, 20)
    start = int.from_bytes(head[word : 2 * word], order)
    seen: set[int] = set()
    while start and start not in seen and left > 0:
        seen.add(start)
        size = int.from_bytes(_read(stream, start, count_bytes), order) * entry_bytes
        left -= size + count_bytes
        data = _read(stream, start + count_bytes, size + word) if left >= 0 else b""
        is_whole = len(data) == size + word and left >= 0
        tags = {}
        for at in range(0, size, entry_bytes) if is_whole else ():
            tag, kind = (int.from_bytes(data[at + part : at + part + 2], order) for part in (0, 2))
            count = int.from_bytes(data[at + 4 : at + 4 + word], order)
            tags[tag] = Entry(kind, count, data[at + 4 + word : at + entry_bytes])
        yield Directory(start, order, word, tags)
        start = int.from_bytes(data[size:], order) if is_whole else 0


def _pieces(stream: BinaryIO, page: Directory, file_bytes: int) -> tuple[int, list[int], list[int]]:
    """The tag that says where the pixels of a page stand, these places, and how many bytes are there."""
    if any(tag in page.tags for tag in OLD_JPEG):
        raise CannotCut
    place, length = (TILES, TILE_BYTES) if TILES in page.tags else (STRIPS, STRIP_BYTES)
    offsets, counts = _numbers(stream, page, place, file_bytes), _numbers(stream, page, length, file_bytes)
    if not offsets or len(offsets) != len(counts) or not all(counts) or sum(counts) < _least_bytes(page):
        raise CannotCut
    return place, offsets, [max(0, min(count, file_bytes - at)) for at, count in zip(offsets, counts, strict=True)]


def _numbers(stream: BinaryIO, page: Directory, tag: int, file_bytes: int) -> list[int]:
    entry = page.tags.get(tag)
    if entry is None or entry.kind not in (SHORT, LONG, 13, LONG8, 18):
        return []
    size = SIZES[entry.kind]
    if entry.number * size > file_bytes:
        return []
    data = _value(stream, page, entry)
    letter = {2: "H", 4: "I", 8: "Q"}[size]
    if len(data) != entry.number * size:
        return []
    return list(struct.unpack(f"{'<' if page.order == 'little' else '>'}{entry.number}{letter}", data))


def _least_bytes(page: Directory) -> int:
    """How many bytes the pixels have at least: programs do without the numbers of bytes where nothing is packed."""
    if page.value(COMPRESSION, 1) != 1 or page.value(PHOTOMETRIC, 0) == YCBCR:
        return 0
    samples = page.value(SAMPLES, 1)
    bits = page.value(BITS, 8 if samples > 1 else 1)  # of more samples it stands elsewhere
    return page.value(WIDTH, 0) * page.value(HEIGHT, 0) * bits * samples // 8


def _value(stream: BinaryIO, page: Directory, entry: Entry) -> bytes:
    size = entry.number * SIZES.get(entry.kind, 0)
    return entry.field[:size] if size <= page.word else _read(stream, int.from_bytes(entry.field, page.order), size)


def _read(stream: BinaryIO, at: int, size: int) -> bytes:
    if at >= 2**63:
        return b""
    stream.seek(at)
    return stream.read(size)


def _written(stream: BinaryIO, page: Directory, place: int, pieces: Sequence[bytes]) -> bytes:
    word, order = page.word, page.order
    kind = LONG8 if word == 8 else LONG
    counts = b"".join(len(piece).to_bytes(word, order) for piece in pieces)
    values = {
        **_kept(stream, page),
        place: (kind, len(pieces), bytes(word * len(pieces))),
        TILE_BYTES if place == TILES else STRIP_BYTES: (kind, len(pieces), counts),
    }
    count_bytes, entry_bytes = (2, 12) if word == 4 else (8, 20)
    free = 2 * word + count_bytes + entry_bytes * len(values) + word  # after the head and the directory
    places = {}
    for tag, (_, _, value) in values.items():
        if len(value) > word:
            places[tag] = free
            free += _even(len(value))
    offsets = []
    for piece in pieces:
        offsets.append(free.to_bytes(word, order))
        free += _even(len(piece))
    values[place] = kind, len(pieces), b"".join(offsets)

    written = [_head(word, order), len(values).to_bytes(count_bytes, order)]
    for tag, (value_kind, count, value) in sorted(values.items()):
        field = places[tag].to_bytes(word, order) if tag in places else value.ljust(word, b"\0")
        written += [tag.to_bytes(2, order), value_kind.to_bytes(2, order), count.to_bytes(word, order), field]
    written.append(bytes(word))  # no page follows
    for data in (*(values[tag][2] for tag in places), *pieces):
        written += [data, bytes(len(data) % 2)]
    return b"".join(written)


def _kept(stream: BinaryIO, page: Directory) -> dict[int, tuple[int, int, bytes]]:
    """Tag -> type, number and bytes of its values; without those that say where something stands in the file."""
    file_bytes = stream.seek(0, 2)
    kept = {}
    for tag, entry in page.tags.items():
        size = entry.number * SIZES.get(entry.kind, 0)
        if tag not in POINTERS and 0 < size <= file_bytes and len(value := _value(stream, page, entry)) == size:
            kept[tag] = entry.kind, entry.number, value
    return kept


def _head(word: int, order: Literal["little", "big"]) -> bytes:
    """The beginning of a file whose first directory follows at once."""
    mark = b"II" if order == "little" else b"MM"
    if word == 4:
        return mark + (42).to_bytes(2, order) + (8).to_bytes(4, order)
    return mark + (43).to_bytes(2, order) + (8).to_bytes(2, order) + bytes(2) + (16).to_bytes(8, order)


def _even(size: int) -> int:
    return size + size % 2
