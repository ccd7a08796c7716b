"""The invisible text of a page: a content stream that shows each word at its place, and nothing to the eye."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby

from aggregators.readings import Line, Reading, Word
from cluster.searchable import font
from cluster.searchable.font import Codes
from cluster.searchable.space import Space, line_angle

TAG = "/cluster-ocr"
"""The tag of the marked content that a text layer of ours is."""
BEGIN, END = f"{TAG} <</Version 1>> BDC\n", "EMC\n"
LEAST_ABOVE, MOST_ABOVE = 0.3, 1.3
"""Share of the height of words that lies above their baseline; beyond that the baseline is none of theirs."""
BLANK_SHARE = font.BLANK_WIDTH / font.WIDTH
MOST_STRETCH, LEAST_STRETCH = 50_000, 10
"""Limits of horizontal scaling, in tenths of a percent."""
LEAST_SIZE = 0.1
STRAYS = 2.0
"""A word that is this many times as high as others says nothing about the size of its line."""
FIRST_LEFTWARD = "\u0590"
RIGHT_TO_LEFT = frozenset({"R", "AL"})


def content(record: Reading, space: Space, codes: Codes, resource: str) -> bytes:
    """The content stream with the words of a page; b"" where it has none.

    Args:
        record: Of the page, with its ``lines``.
        space: Of the page with the record's ``turn``.
        codes: Of the document's font; what is met is added.
        resource: The name of the font in the page's resources, with the slash.
    """
    width, height, _ = record["page"]
    scale = space.size[0] / width, space.size[1] / height
    lines = [text for line in record["lines"] if (text := _line(line, space, scale, codes, resource))]
    if not lines:
        return b""
    return b"".join([f"{BEGIN}q BT 3 Tr\n".encode(), *lines, f"ET Q\n{END}".encode()])


def _line(line: Line, space: Space, scale: Sequence[float], codes: Codes, resource: str) -> bytes:
    words = [word for word in line[4] if not word[0].isspace()]
    if not words:
        return b""
    left = min([word[1] for word in words])
    slope, intercept, ascent = _baseline(words, left, line[2], line[3])
    cosine, sine = line_angle(slope, scale)
    size = max(LEAST_SIZE, ascent * scale[1] / (font.ASCENT / font.UNITS))
    x, y = left * scale[0], space.size[1] - (slope * left + intercept) * scale[1]
    parts = [b"%s %.4g Tf\n" % (resource.encode(), size)]
    for is_leftward, run in _runs(words):
        along = ((run[0][3] if is_leftward else run[0][1]) - left) * scale[0]  # x of the run's start, from the line's
        a, b, c, d, e, f = space.matrix(x + along, y + along * sine / cosine, cosine, sine)
        a, b = (-a, -b) if is_leftward else (a, b)
        ends_in_blank = not is_leftward or run[-1] is words[-1]  # else PDFium joins its last word with the next run's
        parts.append(b"%.5g %.5g %.5g %.5g %.2f %.2f Tm\n" % (a, b, c, d, e, f))
        parts += _shown(run, scale[0] / cosine, size, codes, is_leftward=is_leftward, ends_in_blank=ends_in_blank)
    return b"".join(parts)


def _baseline(words: Sequence[Word], left: int, slope: float, offset: float) -> tuple[float, float, float]:
    """Slope and intercept of the baseline, in pixels from the top left, and how high the words reach above it.

    Where the baseline that was told misses the words, it is the lower edge of these.
    """
    bottom = max([word[4] for word in words])
    height = sum([word[4] - word[2] for word in words])
    for slant, base in ((slope, bottom + offset - slope * left), (0.0, float(bottom))):
        reached = [slant * (word[1] + word[3]) / 2 + base - word[2] for word in words]
        total = sum(reached)
        if LEAST_ABOVE * height <= total <= MOST_ABOVE * height:
            break
    highest: float = max(reached)
    if highest > STRAYS * total / len(reached):
        most = STRAYS * sorted(reached)[len(reached) // 2]
        highest = max([one for one in reached if one <= most], default=highest)
    return slant, base, max(1.0, highest)


def _runs(words: Sequence[Word]) -> Iterable[tuple[bool, Sequence[Word]]]:
    """Neighbouring words of one direction; True where they run from right to left, as Hebrew and Arabic do."""
    if "".join([word[0] for word in words]).isascii():
        return [(False, words)]
    return [(is_leftward, list(run)) for is_leftward, run in groupby(words, lambda word: _is_leftward(word[0]))]


def _is_leftward(text: str) -> bool:
    if text.isascii() or max(text) < FIRST_LEFTWARD:
        return False
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next((kind for kind in kinds if kind in RIGHT_TO_LEFT or kind == "L"), "L") != "L"


def _shown(
    run: Sequence[Word], scale: float, size: float, codes: Codes, *, is_leftward: bool, ends_in_blank: bool
) -> list[bytes]:  # fmt: skip
    """The words, each stretched to its length, with a blank and the way to the next one behind it. A blank ends lines,
    too: without it PDFium leaves out a last word of one letter.

    Args:
        run: Words of one direction.
        scale: Of the page's units along the baseline, a pixel.
        size: Of the font.
        codes: Of the document.
        is_leftward: The direction.
        ends_in_blank: Whether a blank follows the last word.
    """
    # A page has some hundred words, a run a million: what does not change in a line is computed before.
    starts = [-word[3] for word in run] if is_leftward else [word[1] for word in run]
    starts.append(starts[-1])
    in_tenths = 1000 * scale / (size * font.WIDTH / font.UNITS)
    in_units = 1000 * font.UNITS * scale / size
    known, shown = codes.known, codes.shown
    found = []
    for (text, x0, _, x1, _, _), start, after in zip(run, starts, starts[1:], strict=False):
        length, number, ahead = x1 - x0 or 1, len(text), after - start
        stretch = in_tenths * length / number
        # Boxes of words may overlap; words that do are one word to pdftotext, whatever blank stands between.
        if length < 2 * ahead and (room := in_tenths * ahead / (number + BLANK_SHARE)) < stretch:
            stretch = room
        tenths = int(stretch + 0.5)
        if not LEAST_STRETCH <= tenths <= MOST_STRETCH:
            tenths = min(MOST_STRETCH, max(LEAST_STRETCH, tenths))
        way = number * font.WIDTH + font.BLANK_WIDTH - in_units * ahead / tenths
        data = known.get(text) or shown(text)
        found.append(b"%.1f Tz[(%s\0 )%d]TJ\n" % (tenths / 10, data, way))
    found[-1] = b"%.1f Tz(%s%s)Tj\n" % (tenths / 10, data, b"\0 " if ends_in_blank else b"")
    return found
