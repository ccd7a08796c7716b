"""The font of invisible text: no glyph of it has an outline, and a PDF tells which character each stands for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from cluster.searchable import streams

if TYPE_CHECKING:
    import pikepdf

NAME = "ClusterGlyphless"
UNITS = 1000
"""Of the font's own measure, in one font size; also those in which PDF counts."""
WIDTH, BLANK_WIDTH = 500, 200
"""Of any character, and of a blank, which is narrower than the gaps between words."""
ASCENT, DESCENT = 1000, -1
BLANK = 0x20
SURROGATES = range(0xD800, 0xE000)
"""Codes that are no character's: characters beyond 16 bits are given these, as they come."""
FIRST_FAR = "\U00010000"
LOST = "\ufffd"
MOST_KNOWN = 20_000
"""Words whose codes are held: most words of a document come again."""
MOST_IN_BLOCK = 100
"""Entries that a block of a ToUnicode map may have."""


class Codes:
    """The 16-bit codes of the characters of one document: a character's own number, where that has 16 bits."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._far: dict[str, int] = {}
        self._free = iter(SURROGATES)
        self.known: dict[str, bytes] = {}
        """What ``shown`` has given for some words."""

    def shown(self, text: str) -> bytes:
        """The codes of a word as they stand between the parentheses of a PDF's string."""
        if len(self.known) >= MOST_KNOWN:
            self.known.clear()
        data = (
            self.encode(text).replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)").replace(b"\r", rb"\r")
        )
        self.known[text] = data
        return data

    def encode(self, text: str) -> bytes:
        """The text as codes of two bytes each. Of characters beyond 16 bits, the first 2,048 kinds have a code; others
        become U+FFFD."""
        if text.isascii() or max(text) < FIRST_FAR:
            self._plain.update(text)
            return text.encode("utf-16-be")
        return b"".join(self._code(character).to_bytes(2, "big") for character in text)

    def _code(self, character: str) -> int:
        if character >= FIRST_FAR:
            if (code := self._far.get(character) or next(self._free, None)) is not None:
                self._far[character] = code
                return code
            character = LOST
        self._plain.add(character)
        return ord(character)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Each code in use with its character, by code."""
        return iter(
            sorted([*((ord(one), one) for one in self._plain), *((code, one) for one, code in self._far.items())])
        )


def reserved(pdf: pikepdf.Pdf) -> pikepdf.Object:
    """The dictionary of the font, for pages to name in their resources before ``fill``."""
    import pikepdf

    return pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.Font))


def fill(pdf: pikepdf.Pdf, font: pikepdf.Object, codes: Codes) -> None:
    """Complete the font, once all characters of the document are known."""
    from pikepdf import Array, Dictionary, Name

    program, name = _program(), Name(f"/{NAME}")
    descriptor = pdf.make_indirect(
        Dictionary(
            Type=Name.FontDescriptor, FontName=name, Flags=4, FontBBox=Array([0, DESCENT, WIDTH, ASCENT]),
            ItalicAngle=0, Ascent=ASCENT, Descent=DESCENT, CapHeight=ASCENT, StemV=80,
            FontFile2=streams.packed(pdf, program, Length1=len(program)),
        )
    )  # fmt: skip
    characters = pdf.make_indirect(
        Dictionary(
            Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=name, DW=WIDTH,
            W=Array([BLANK, Array([BLANK_WIDTH])]), CIDToGIDMap=streams.packed(pdf, _glyphs()),
            CIDSystemInfo=Dictionary(Registry=b"Adobe", Ordering=b"Identity", Supplement=0), FontDescriptor=descriptor,
        )
    )  # fmt: skip
    font.Subtype, font.BaseFont, font.Encoding = Name.Type0, name, Name("/Identity-H")
    font.DescendantFonts = Array([characters])
    font.ToUnicode = streams.packed(pdf, to_unicode(codes))


def to_unicode(codes: Codes) -> bytes:
    """The map from codes to characters, of those that the document has."""
    entries = [f"<{code:04X}> <{character.encode('utf-16-be').hex().upper()}>" for code, character in codes]
    blocks = [entries[start : start + MOST_IN_BLOCK] for start in range(0, len(entries), MOST_IN_BLOCK)]
    lines = [f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks]
    return "\n".join([_BEGIN, *lines, _END]).encode()


_BEGIN = """\
/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange"""
_END = """\
endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""


@cache
def _program() -> bytes:
    return (files(__package__) / "glyphless.ttf").read_bytes()


@cache
def _glyphs() -> bytes:
    """Code -> number of its glyph, two bytes each."""
    numbers = bytearray(b"\0\1" * 0x10000)
    numbers[2 * BLANK + 1] = 2
    return bytes(numbers)
