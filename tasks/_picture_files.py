"""Read the structure of a picture's file: its pages, and metadata that would keep Pillow from reading them.

Reads a few bytes of each file; Pillow decodes the pixels.
"""

from __future__ import annotations

import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Literal, NamedTuple

from splitters import tiff_frames

MOST_PAGES, MOST_DIRECTORY_BYTES = 65_536, 2**24
"""More of them, or of directories of pages in a TIFF, stand in no file that is what it says."""
TIFF = (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")
JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"
PNG_TEXTS_KEPT = (b"XML:com.adobe.xmp\0\0", b"Raw profile type exif\0")
"""Text chunks that may say which side of the picture is up; the first kind only where it is not compressed."""
PNG_PHYS_BYTES = 9
MOST_OF_A_NAME = 100
"""Chunks of one name that are read at most: a picture has one of each kind that matters, and many may take minutes."""
MOST_METADATA_BYTES = 2**20
"""More than this in one chunk, packed or unpacked, is refused by Pillow, and with it the picture."""

SCAN = 0xDA
"""The JPEG marker behind which pixels begin."""
JPEG_METADATA = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
"""Segments for applications, but for JFIF's and Adobe's, and comments."""

RAW_PNM = re.compile(rb"P([456])((?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9}))")
SPACE = re.compile(rb"\s*")
PNM_MAXIMUM = re.compile(rb"(?:\s|#[^\n]*\n)+(\d{1,5})")

WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
WIDE_BITS = (12, 16, 32)
UNSIGNED = 1
SHORT = 3
"""The type of a TIFF value of 2 bytes."""
SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLES, SAMPLE_FORMAT = 254, 255, 256, 257, 258, 262, 277, 339
TAGS = frozenset({SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLES, SAMPLE_FORMAT})


class Page(NamedTuple):
    """One picture of a file."""

    begin: int = 0
    end: int | None = None
    """The bytes of the file that hold it, of a PNM; else the whole file."""
    patches: Mapping[int, bytes] = {}
    """Offset in the file -> the bytes to read there instead."""
    is_negative: bool = False
    """Its numbers are of the kind that Pillow does not turn around: the highest one is black."""
    is_unsigned: bool = False
    """Its numbers have 32 bits and no sign, but Pillow gives them one."""


class PatchedFile(io.BytesIO):
    """A file in memory, without a copy of it, of which some bytes are read as others."""

    def __init__(self, data: bytes, patches: Mapping[int, bytes]) -> None:
        super().__init__(data)
        self._patches = patches

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        start = self.tell()
        found = super().read(size)
        for at, patch in self._patches.items():
            if at < start + len(found) and start < at + len(patch):
                changed = bytearray(found)
                for place, value in enumerate(patch, at - start):
                    if 0 <= place < len(changed):
                        changed[place] = value
                found = bytes(changed)
        return found


def pages(data: bytes) -> list[Page]:
    """The pictures of a file that are pages, one at least: all of a TIFF or a raw PNM, the first of the others.

    A smaller copy and a mask of another page are none. Where a TIFF's list of pages is cut off, its last entry stands
    for the rest, and cannot be read.
    """
    if data.startswith(TIFF):
        return _tiff_pages(data)
    if RAW_PNM.match(data):
        return list(islice(_pnm_pages(data), MOST_PAGES + 1))
    return [Page()]


def file_of(data: bytes, page: Page) -> io.BytesIO:
    """Return the file that Pillow opens for this page."""
    if page.patches:
        return PatchedFile(data, page.patches)
    if data.startswith(PNG):
        return io.BytesIO(bare_png(data))
    return io.BytesIO(data[page.begin : page.end])  # all of it is no copy


def bare_png(data: bytes) -> bytes:
    """A PNG file without metadata that is of no use here, and without what is damaged or too large of the rest.

    Pillow refuses a picture for its metadata. The very same bytes where all of it is useful and sound.
    """
    kept: list[memoryview] = []
    view = memoryview(data)
    begin = at = len(PNG)
    seen = Counter[bytes]()
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(view[at : at + 4])
        name = bytes(view[at + 4 : at + 8])
        if end > len(data) or name == b"IEND":
            break
        seen[name] += 1
        if name[:1].islower() and (seen[name] > MOST_OF_A_NAME or not _is_useful(name, view[at + 8 : end])):
            kept.append(view[begin:at])
            begin = end
        at = end
    return b"".join((PNG, *kept, view[begin:])) if kept else data


def _is_useful(name: bytes, content: memoryview) -> bool:
    body, checksum = bytes(content[:-4]), int.from_bytes(content[-4:])
    if zlib.crc32(body, zlib.crc32(name)) != checksum or len(body) > MOST_METADATA_BYTES:
        return False
    if name in (b"tEXt", b"iTXt"):
        return body.startswith(PNG_TEXTS_KEPT)
    if name in (b"zTXt", b"iCCP"):
        return (name == b"iCCP" or body.startswith(PNG_TEXTS_KEPT)) and _unpacks(body.partition(b"\0")[2])
    return name in (b"tRNS", b"eXIf") or (name == b"pHYs" and len(body) == PNG_PHYS_BYTES)


def _unpacks(packed: bytes) -> bool:
    """Whether a compressed chunk unpacks to at most ``MOST_METADATA_BYTES``; its first byte, the method, must be 0."""
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(packed[1:], MOST_METADATA_BYTES)
    except zlib.error:
        return False
    return packed[:1] == b"\0" and not unpacking.unconsumed_tail


def bare_jpeg(data: bytes) -> bytes:
    """A JPEG file without its metadata, but for what tells colours, resolution and which side is up."""
    kept = [data[:2]]
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        segment = data[at:end]
        is_metadata = data[at + 1] in JPEG_METADATA and segment[4:10] != b"Exif\0\0"
        kept.append(b"" if is_metadata else segment)
        at = end
    return b"".join((*kept, data[at:]))


class _Directory(NamedTuple):
    """The directory of one picture in a TIFF."""

    start: int
    tags: Mapping[int, tuple[int, int, int]]
    """Tag -> its value, where that stands in the file, and in how many bytes; those of a few bytes only."""

    def value(self, tag: int, default: int) -> int:
        return self.tags[tag][0] if tag in self.tags else default


def _tiff_pages(data: bytes) -> list[Page]:
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    word = 8 if 43 in data[2:4] else 4  # bytes of an offset: of a BigTIFF, or of a TIFF
    found = list(islice(_directories(data, order, word), MOST_PAGES + 1))
    first = found[0].start if found else 0
    return [_tiff_page(one, first, order, word) for one in tiff_frames.true_pages(found)] or [Page()]


def _directories(data: bytes, order: Literal["little", "big"], word: int) -> Iterator[_Directory]:
    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    count_bytes, entry_bytes = (2, 12) if word == 4 else (8, 20)
    seen: set[int] = set()
    start = number(word, word)
    left = min(len(data), MOST_DIRECTORY_BYTES)
    while start and start not in seen and left > 0:
        seen.add(start)
        tags: dict[int, tuple[int, int, int]] = {}
        entries = number(start, count_bytes)
        end = start + count_bytes + entries * entry_bytes
        is_whole = end + word <= len(data) and end - start <= left
        left -= end - start
        for at in range(start + count_bytes, end, entry_bytes) if is_whole else ():
            tag, kind, count = number(at, 2), number(at + 2, 2), number(at + 4, word)
            size = 2 if kind == SHORT else word
            if tag in TAGS and 0 < count * size <= word:
                tags[tag] = (number(at + 4 + word, size), at + 4 + word, size)
        yield _Directory(start, tags)
        start = number(end, word) if is_whole else 0


def _tiff_page(one: _Directory, first: int, order: Literal["little", "big"], word: int) -> Page:
    patches = {} if one.start == first else {word: one.start.to_bytes(word, order)}
    is_wide = one.value(SAMPLES, 1) == 1 and one.value(BITS, 1) in WIDE_BITS
    is_negative = is_wide and one.value(PHOTOMETRIC, BLACK_IS_ZERO) == WHITE_IS_ZERO
    if is_negative:  # Pillow knows more kinds of the others
        _, place, size = one.tags[PHOTOMETRIC]
        patches[place] = BLACK_IS_ZERO.to_bytes(size, order)
    is_unsigned = is_wide and one.value(BITS, 1) == 32 and one.value(SAMPLE_FORMAT, UNSIGNED) == UNSIGNED
    return Page(patches=patches, is_negative=is_negative, is_unsigned=is_unsigned)


def _pnm_pages(data: bytes) -> Iterator[Page]:
    """One picture after the other, as long as the next one follows on the last."""
    begin = 0
    while header := RAW_PNM.match(data, begin):
        kind, width, height, end = header[1], int(header[3]), int(header[4]), header.end()
        row = -(-width // 8)
        if kind != b"4" and (maximum := PNM_MAXIMUM.match(data, end)):
            end = maximum.end()
            row = width * (3 if kind == b"6" else 1) * (2 if int(maximum[1]) > 255 else 1)
        end += 1 + row * height
        yield Page(begin, end)
        begin = SPACE.match(data, min(end, len(data))).end()  # type: ignore[union-attr]
