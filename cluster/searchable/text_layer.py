"""The invisible text of a page: a content stream that shows each word at its place, and nothing to the eye."""

from __future__ import annotations

import math
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from aggregators.readings import Line, Reading, Word
from cluster.searchable import font
from cluster.searchable.font import Codes
from cluster.searchable.space import Space, line_angle

TAG = "/cluster-ocr"
"""The tag of the marked content that a text layer of ours is."""
BEGIN, END = f"{TAG} <</Version 1>> BDC\n", "EMC\n"
MOST_STRETCH, LEAST_STRETCH = 5000.0, 1.0
"""Limits of horizontal scaling, in percent."""
LEAST_SIZE = 0.1
STRAYS = 2.0
"""A word that is this many times as high as the middle one says nothing about the size of its line."""
RIGHT_TO_LEFT = frozenset({"R", "AL"})


class _Placed(NamedTuple):
    """A word on its baseline."""

    text: str
    start: float
    """Along the baseline from the line's start to where its first character stands, in the page's units."""
    length: float
    """In the direction of its line's text, so always more than 0."""


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
    words = [word for word in line[4] if word[0].strip()]
    if not words:
        return b""
    slope, intercept = _baseline(line)
    cosine, sine = line_angle(slope, scale)
    size = max(LEAST_SIZE, _ascent(words, slope, intercept) * scale[1] / (font.ASCENT / font.UNITS))
    left = min(word[1] for word in words)
    x, y = left * scale[0], space.size[1] - (slope * left + intercept) * scale[1]
    parts = [f"{resource} {_short(size, 2)} Tf\n".encode()]
    for is_leftward, run in _runs(words):
        placed = [_place(word, left, scale[0] / cosine, is_leftward=is_leftward) for word in run]
        along = placed[0].start
        sign = -1 if is_leftward else 1
        a, b, c, d, e, f = space.matrix(x + along * cosine, y + along * sine, cosine, sine)
        matrix = " ".join([*(_short(value, 5) for value in (sign * a, sign * b, c, d)), _short(e, 2), _short(f, 2)])
        ends_in_blank = not is_leftward or run[-1] is words[-1]  # else PDFium joins its last word with the next run's
        parts += [f"{matrix} Tm\n".encode(), *_shown(placed, sign, size, codes, ends_in_blank=ends_in_blank)]
    return b"".join(parts)


def _baseline(line: Line) -> tuple[float, float]:
    """Slope and intercept, in pixels from the top left. Where they miss the words, the lower edge of these."""
    _, _, slope, offset, words = line
    left, bottom = min(word[1] for word in words), max(word[4] for word in words)
    intercept = bottom + offset - slope * left
    middle = statistics.median(_share_above(word, slope, intercept) for word in words)
    return (slope, intercept) if 0.3 <= middle <= 1.3 else (0.0, float(bottom))


def _share_above(word: Word, slope: float, intercept: float) -> float:
    """How much of a word's height lies above the baseline: 1 where it stands on it."""
    _, x0, y0, x1, y1, _ = word
    return float((slope * (x0 + x1) / 2 + intercept - y0) / max(1, y1 - y0))


def _ascent(words: Sequence[Word], slope: float, intercept: float) -> float:
    """How high the words of a line reach above its baseline, in pixels."""
    reached = [slope * (word[1] + word[3]) / 2 + intercept - word[2] for word in words]
    middle = statistics.median(reached)
    return max(1.0, *(height for height in reached if height <= STRAYS * middle or height <= 1))


def _runs(words: Sequence[Word]) -> Iterator[tuple[bool, list[Word]]]:
    """Neighbouring words of one direction; True where they run from right to left, as Hebrew and Arabic do."""
    run: list[Word] = []
    before = False
    for word in words:
        is_leftward = _is_leftward(word[0])
        if run and is_leftward != before:
            yield before, run
            run = []
        run.append(word)
        before = is_leftward
    yield before, run


def _is_leftward(text: str) -> bool:
    kinds = (unicodedata.bidirectional(character) for character in text)
    strong = next((kind for kind in kinds if kind in RIGHT_TO_LEFT or kind == "L"), "L")
    return strong in RIGHT_TO_LEFT


def _place(word: Word, left: int, scale: float, *, is_leftward: bool) -> _Placed:
    text, x0, _, x1, _, _ = word
    return _Placed(text, ((x1 if is_leftward else x0) - left) * scale, max(1, x1 - x0) * scale)


def _shown(
    placed: Sequence[_Placed], sign: int, size: float, codes: Codes, *, ends_in_blank: bool
) -> Iterator[bytes]:  # fmt: skip
    """The words, each stretched to its length, with a blank and the way to the next one behind it. A blank ends lines,
    too: without it PDFium leaves out a last word of one letter.
    """
    following: Sequence[_Placed | None] = [*placed[1:], None]
    for word, after in zip(placed, following, strict=True):
        units = len(word.text) * font.WIDTH / font.UNITS * size
        with_blank = units + font.BLANK_WIDTH / font.UNITS * size
        ahead = 0.0 if after is None else sign * (after.start - word.start)
        # Boxes of words may overlap; words that do are one word to pdftotext, whatever blank stands between.
        room = 100 * ahead / with_blank if ahead > word.length / 2 else math.inf
        stretch = round(min(MOST_STRETCH, max(LEAST_STRETCH, min(100 * word.length / units, room))), 1)
        text = codes.encode(word.text + (" " if after or ends_in_blank else ""))
        way = b""
        if after is not None:
            rest = ahead - with_blank * stretch / 100
            way = b"%d" % round(-rest * font.UNITS / (size * stretch / 100))
        yield b"%s Tz[(%s)%s]TJ\n" % (_short(stretch, 1).encode(), _escaped(text), way)


def _escaped(data: bytes) -> bytes:
    """Bytes as they stand between the parentheses of a PDF's string."""
    return data.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)").replace(b"\r", rb"\r")


def _short(value: Any, digits: int) -> str:
    shown = f"{value:.{digits}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if shown in ("-0", "") else shown
