"""The invisible text of a page: a content stream that shows each word at its place, and nothing to the eye."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from aggregators.readings import Line, Reading, Word
from cluster.searchable import font
from cluster.searchable.font import Codes
from cluster.searchable.space import Space, line_angle

TAG = "/cluster-ocr"
"""The tag of the marked content that a text layer of ours is."""
BEGIN, END = f"{TAG} <</Version 1>> BDC\n", "EMC\n"
MOST_STRETCH, LEAST_STRETCH = 50_000, 10
"""Limits of horizontal scaling, in tenths of a percent."""
LEAST_SIZE = 0.1
STRAYS = 2.0
"""A word that is this many times as high as the middle one says nothing about the size of its line."""
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
    slope, intercept = _baseline(line)
    cosine, sine = line_angle(slope, scale)
    size = max(LEAST_SIZE, _ascent(words, slope, intercept) * scale[1] / (font.ASCENT / font.UNITS))
    left = min(word[1] for word in words)
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


def _baseline(line: Line) -> tuple[float, float]:
    """Slope and intercept, in pixels from the top left. Where they miss the words, the lower edge of these."""
    _, _, slope, offset, words = line
    left, bottom = min(word[1] for word in words), max(word[4] for word in words)
    intercept = bottom + offset - slope * left
    # How much of a word's height lies above the baseline: 1 where it stands on it.
    above = _middle(
        [(slope * (x0 + x1) / 2 + intercept - y0) / max(1, y1 - y0) for _, x0, y0, x1, y1, _ in words]
    )  # fmt: skip
    return (slope, intercept) if 0.3 <= above <= 1.3 else (0.0, float(bottom))


def _ascent(words: Sequence[Word], slope: float, intercept: float) -> float:
    """How high the words of a line reach above its baseline, in pixels."""
    reached: list[float] = [slope * (word[1] + word[3]) / 2 + intercept - word[2] for word in words]
    most = STRAYS * _middle(reached)
    return max(1.0, *(height for height in reached if height <= most))


def _middle(numbers: Sequence[float]) -> float:
    return sorted(numbers)[len(numbers) // 2]


def _runs(words: Sequence[Word]) -> Iterator[tuple[bool, Sequence[Word]]]:
    """Neighbouring words of one direction; True where they run from right to left, as Hebrew and Arabic do."""
    for is_leftward, run in groupby(words, lambda word: _is_leftward(word[0])):
        yield is_leftward, list(run)


def _is_leftward(text: str) -> bool:
    if text.isascii() or max(text) < FIRST_LEFTWARD:
        return False
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next((kind for kind in kinds if kind in RIGHT_TO_LEFT or kind == "L"), "L") != "L"


def _shown(
    run: Sequence[Word], scale: float, size: float, codes: Codes, *, is_leftward: bool, ends_in_blank: bool
) -> Iterator[bytes]:  # fmt: skip
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
    character, blank = font.WIDTH / font.UNITS * size, font.BLANK_WIDTH / font.UNITS * size
    starts = [-word[3] if is_leftward else word[1] for word in run]
    shown = codes.shown
    for (text, x0, _, x1, _, _), start, after in zip(run, starts, [*starts[1:], None], strict=True):
        length, natural = (x1 - x0 or 1) * scale, len(text) * character
        stretch = 1000 * length / natural
        if after is None:
            yield b"%.1f Tz[(%s)]TJ\n" % (_tenths(stretch) / 10, shown(f"{text} " if ends_in_blank else text))
            continue
        ahead = (after - start) * scale
        # Boxes of words may overlap; words that do are one word to pdftotext, whatever blank stands between.
        if ahead > length / 2:
            stretch = min(stretch, 1000 * ahead / (natural + blank))
        tenths = _tenths(stretch)
        way = font.UNITS / size * (natural + blank - 1000 * ahead / tenths)
        yield b"%.1f Tz[(%s)%d]TJ\n" % (tenths / 10, shown(f"{text} "), round(way))


def _tenths(stretch: float) -> int:
    """Horizontal scaling as it is written, in tenths of a percent: the way to the next word counts from there."""
    return min(MOST_STRETCH, max(LEAST_STRETCH, round(stretch)))
