"""Make the font of invisible text, ``cluster/searchable/glyphless.ttf``: ``make font``.

Three glyphs: the one that every font has for what it lacks, one for any character, and a narrow one for blanks. Their
outlines are a line there and back, which no program paints, but by which programs tell how high a word is. Which
character a glyph stands for, a PDF says by the font's ToUnicode map; how wide a word is, by horizontal scaling. The
same bytes come out each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._g_l_y_f import Glyph

from cluster.searchable import font

GLYPHS = {".notdef": font.WIDTH, "any": font.WIDTH, "blank": font.BLANK_WIDTH}
MADE = 3_400_000_000
"""The date that the font claims, in seconds since 1904."""


def build(path: Path) -> None:
    """Write the font."""
    builder = FontBuilder(font.UNITS, isTTF=True)
    builder.setupGlyphOrder(list(GLYPHS))
    builder.setupCharacterMap({})
    builder.setupGlyf({name: _line(width) for name, width in GLYPHS.items()})
    builder.setupHorizontalMetrics({name: (width, 0) for name, width in GLYPHS.items()})
    builder.setupHorizontalHeader(ascent=font.ASCENT, descent=font.DESCENT)
    builder.setupNameTable({"familyName": font.NAME, "styleName": "Regular", "psName": font.NAME})
    builder.setupOS2(
        sTypoAscender=font.ASCENT, sTypoDescender=font.DESCENT, usWinAscent=font.ASCENT, usWinDescent=-font.DESCENT
    )
    builder.setupPost()
    builder.font["head"].created = builder.font["head"].modified = MADE
    builder.font["head"].xMin, builder.font["head"].yMin = 0, font.DESCENT
    builder.font["head"].xMax, builder.font["head"].yMax = font.WIDTH, font.ASCENT
    builder.font.recalcBBoxes = builder.font.recalcTimestamp = False
    builder.save(path)


def _line(width: int) -> Glyph:
    pen = TTGlyphPen(None)
    pen.moveTo((0, font.DESCENT))
    pen.lineTo((width, font.ASCENT))
    pen.closePath()
    return pen.glyph()


if __name__ == "__main__":
    build(Path(sys.argv[1]))
