"""The places of words as Tesseract found them: from tesserocr's iterator, or from the program's table (TSV).

A line is ``[block, paragraph, slope, offset, [[text, x0, y0, x1, y1, confidence], ...]]``, as ``aggregators.readings``
describes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Line = list[Any]
NO_WORD = re.compile("[\0-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
MOST_CHARS = 2000
STEEP = 1.0
"""A baseline with more slope is that of a line that stands upright, for which ``slope`` has no use."""
WORD_ROW = "5"


def of_iterator(words: Any, width: int, height: int) -> list[Line]:
    """The lines that ``PyTessBaseAPI.GetIterator`` gives after a page of this size was recognised; of its None []."""
    import tesserocr

    if words is None:
        return []
    level = tesserocr.RIL
    lines: list[Line] = []
    block = paragraph = 0
    baseline = None
    for at in tesserocr.iterate_level(words, level.WORD):
        if at.IsAtBeginningOf(level.BLOCK):
            block, paragraph = block + 1, 0
        if at.IsAtBeginningOf(level.PARA):
            paragraph += 1
        if at.IsAtBeginningOf(level.TEXTLINE):
            if lines and lines[-1][4]:
                _lay(lines[-1], baseline)
            baseline = at.Baseline(level.TEXTLINE)
            lines.append([block, paragraph, 0.0, 0.0, []])
        box = at.BoundingBox(level.WORD)
        word = word_of(at.GetUTF8Text(level.WORD), box, at.Confidence(level.WORD), width, height) if box else None
        if word and lines:
            lines[-1][4].append(word)
    if lines and lines[-1][4]:
        _lay(lines[-1], baseline)
    return [line for line in lines if line[4]]


def of_table(table: str, width: int, height: int) -> list[Line]:
    """The lines of the program's table. It says nothing of baselines: they lie on the lower edges."""
    lines: list[Line] = []
    last = None
    for row in rows(table):
        block, paragraph, line = (int(number) for number in row[2:5])
        left, top, wide, high = (int(number) for number in row[6:10])
        if (block, paragraph, line) != last:
            last = block, paragraph, line
            lines.append([block, paragraph, 0.0, 0.0, []])
        box = left, top, left + wide, top + high
        if word := word_of("\t".join(row[11:]), box, float(row[10]), width, height):
            lines[-1][4].append(word)
    return [line for line in lines if line[4]]


def rows(table: str) -> list[list[str]]:
    """The rows of the program's table that tell of words; a word may hold other ends of lines."""
    return [row for row in (line.split("\t") for line in table.split("\n")) if row[0] == WORD_ROW and len(row) > 11]


def word_of(text: str, box: Sequence[int], confidence: float, width: int, height: int) -> list[Any] | None:
    """A word with its box kept within the page; None where it says nothing."""
    text = NO_WORD.sub("", text).strip()[:MOST_CHARS]
    if not text:
        return None
    x0, y0, x1, y1 = box
    x0, x1 = sorted((min(max(0, x0), width), min(max(0, x1), width)))
    y0, y1 = sorted((min(max(0, y0), height), min(max(0, y1), height)))
    return [text, x0, y0, x1, y1, min(max(0, int(confidence)), 100)]


def _lay(line: Line, baseline: Any) -> None:
    """Enter slope and offset of a line, for a baseline through two points of the page."""
    if not baseline:
        return
    (x1, y1), (x2, y2) = baseline
    if x1 == x2 or abs(slope := (y2 - y1) / (x2 - x1)) > STEEP:
        return
    words = line[4]
    left, bottom = min(word[1] for word in words), max(word[4] for word in words)
    line[2] = round(slope, 4)
    line[3] = round(y1 - slope * (x1 - left) - bottom, 1)


def scaled(lines: list[Line], times: float, width: int, height: int) -> list[Line]:
    """Lines of an enlarged page in pixels of the page itself, which has this size."""
    if times == 1:
        return lines
    found = []
    for block, paragraph, slope, offset, words in lines:
        smaller = [
            word_of(
                text, (round(x0 / times), round(y0 / times), round(x1 / times), round(y1 / times)), sure, width, height
            )
            for text, x0, y0, x1, y1, sure in words
        ]
        found.append([block, paragraph, slope, round(offset / times, 1), smaller])
    return found
