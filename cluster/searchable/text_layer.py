"""The invisible text of a page: a content stream that shows each word at its place, and nothing to the eye."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import sub

from aggregators.readings import Line, Reading
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
WORD, LAST_WORD = b"%.1f Tz[(%s\0 )%d]TJ\n", b"%.1f Tz(%s%s)Tj\n"
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
    name = resource.encode()
    lines = [text for line in record["lines"] if (text := _line(line, space, scale, codes, name))]
    if not lines:
        return b""
    return b"".join([f"{BEGIN}q BT 3 Tr\n".encode(), *lines, f"ET Q\n{END}".encode()])


def _line(line: Line, space: Space, scale: Sequence[float], codes: Codes, resource: bytes) -> bytes:
    words = [word for word in line[4] if not word[0].isspace()]
    if not words:
        return b""
    # A page has some hundred words, a run a million: by columns they take a seventh less time than one by one.
    texts, x0s, y0s, x1s, y1s, _ = zip(*words, strict=True)
    left = min(x0s)
    slope, intercept, ascent = _baseline(x0s, y0s, x1s, y1s, line[2], line[3])
    cosine, sine = line_angle(slope, scale)
    size = max(LEAST_SIZE, ascent * scale[1] / (font.ASCENT / font.UNITS))
    x, y = left * scale[0], space.size[1] - (slope * left + intercept) * scale[1]
    parts = [b"%s %.4g Tf\n" % (resource, size)]
    for is_leftward, run in _runs(texts):
        starts = x1s[run] if is_leftward else x0s[run]
        along = (starts[0] - left) * scale[0]  # x of the run's start, from the line's
        a, b, c, d, e, f = space.matrix(x + along, y + along * sine / cosine, cosine, sine)
        a, b = (-a, -b) if is_leftward else (a, b)
        parts.append(b"%.5g %.5g %.5g %.5g %.2f %.2f Tm\n" % (a, b, c, d, e, f))
        ways = map(sub, starts, starts[1:]) if is_leftward else map(sub, starts[1:], starts)
        lengths = map(sub, x1s[run], x0s[run])
        ends_in_blank = not is_leftward or run.stop == len(texts)  # else PDFium joins its last word with the next run's
        parts.append(_shown(texts[run], lengths, [*ways, 0], scale[0] / cosine, size, codes, ends_in_blank))
    return b"".join(parts)


def _baseline(
    x0s: Sequence[int], y0s: Sequence[int], x1s: Sequence[int], y1s: Sequence[int], slope: float, offset: float
) -> tuple[float, float, float]:  # fmt: skip
    """Slope and intercept of the baseline, in pixels from the top left, and how high the words reach above it.

    Where the baseline that was told misses the words, it is the lower edge of these.
    """
    bottom, height = max(y1s), sum(y1s) - sum(y0s)
    for slant, base in ((slope, bottom + offset - slope * min(x0s)), (0.0, float(bottom))):
        half = slant / 2
        reached = [half * (x0 + x1) + base - y0 for x0, x1, y0 in zip(x0s, x1s, y0s, strict=True)]
        total = sum(reached)
        if LEAST_ABOVE * height <= total <= MOST_ABOVE * height:
            break
    highest: float = max(reached)
    if highest > STRAYS * total / len(reached):
        most = STRAYS * sorted(reached)[len(reached) // 2]
        highest = max([one for one in reached if one <= most], default=highest)
    return slant, base, max(1.0, highest)


def _runs(texts: Sequence[str]) -> Iterator[tuple[bool, slice]]:
    """Neighbouring words of one direction; True where they run from right to left, as Hebrew and Arabic do."""
    if "".join(texts).isascii():
        yield False, slice(0, len(texts))
        return
    start = 0
    for is_leftward, run in groupby(texts, _is_leftward):
        stop = start + len(list(run))
        yield is_leftward, slice(start, stop)
        start = stop


def _is_leftward(text: str) -> bool:
    if text.isascii() or max(text) < FIRST_LEFTWARD:
        return False
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next((kind for kind in kinds if kind in RIGHT_TO_LEFT or kind == "L"), "L") != "L"


def _shown(
    texts: Sequence[str], lengths: Iterable[int], ways: Iterable[int], scale: float, size: float, codes: Codes,
    ends_in_blank: bool,
) -> bytes:  # fmt: skip
    """The words, each stretched to its length, with a blank and the way to the next one behind it. A blank ends lines,
    too: without it PDFium leaves out a last word of one letter.

    Args:
        texts: Of words of one direction.
        lengths: Theirs, in pixels.
        ways: From the start of each to that of the next one, in pixels; of the last, 0.
        scale: Of the page's units along the baseline, a pixel.
        size: Of the font.
        codes: Of the document.
        ends_in_blank: Whether a blank follows the last word.
    """
    in_tenths = 1000 * scale / (size * font.WIDTH / font.UNITS)
    in_units = 1000 * font.UNITS * scale / size
    known, shown = codes.known.get, codes.shown
    fields: list[float | bytes] = []
    for text, length, way in zip(texts, lengths, ways, strict=True):
        number = len(text)
        stretch = (length or 1) / number
        # Boxes of words may overlap; words that do are one word to pdftotext, whatever blank stands between.
        if length < 2 * way and (room := way / (number + BLANK_SHARE)) < stretch:
            stretch = room
        tenths = int(in_tenths * stretch + 0.5)
        if not LEAST_STRETCH <= tenths <= MOST_STRETCH:
            tenths = min(MOST_STRETCH, max(LEAST_STRETCH, tenths))
        back = number * font.WIDTH + font.BLANK_WIDTH - in_units * way / tenths
        fields += tenths / 10, known(text) or shown(text), back
    fields[-1] = b"\0 " if ends_in_blank else b""
    return (WORD * (len(texts) - 1) + LAST_WORD) % tuple(fields)
