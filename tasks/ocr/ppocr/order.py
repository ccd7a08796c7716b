"""In which order boxes of text are read: columns, lines from top to bottom, each from left to right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

OVERLAP = 0.5
"""Boxes are on one line if they share this part of the lower one's height."""
OPEN_LINES = 4
"""A box may go on with each of so many lines that were begun last."""
COLUMN_LINES = 4
"""A gap from top to bottom parts columns if there are this many boxes on both sides, at least, ..."""
COLUMN_WIDTH = 8.0
"""... and most of these are wider than this many times their height. Else it is a table, which is read line by line."""
COLUMN_GAP = 0.8
"""Least width of such a gap, in heights of lines."""
PARAGRAPH_GAP = 1.0
"""A paragraph ends where more than this many heights of a line are empty below."""


class Extent(NamedTuple):
    """A box along the axes."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        """At least 1, in pixels."""
        return max(1.0, self.bottom - self.top)


Line = list[int]
"""The boxes of a line, by their numbers."""


def blocks(extents: Sequence[Extent]) -> list[list[Line]]:
    """The lines of each column, or of the page if it has none. Each box is in one line of one block."""
    return [lines(extents, block) for block in _columns(extents, list(range(len(extents))))]


def lines(extents: Sequence[Extent], of: Sequence[int]) -> list[Line]:
    """Group boxes to lines."""
    found: list[Line] = []
    for number in sorted(of, key=lambda one: (extents[one].top + extents[one].bottom, extents[one].left)):
        # On a sloping page the right part of a line comes after the left part of the next one.
        open_ = [line for line in found[-OPEN_LINES:] if _on_line(extents, line, number)]
        if open_:
            min(open_, key=lambda line: _gap(_nearest(extents, line, number), extents[number])).append(number)
        else:
            found.append([number])
    for line in found:
        line.sort(key=lambda one: extents[one].left)
    return found


def paragraphs(extents: Sequence[Extent], of: Sequence[Line]) -> list[int]:
    """The number of the paragraph of each line, from 0."""
    found, bottom = [0] * len(of), 0.0
    for at, line in enumerate(of):
        top = min(extents[one].top for one in line)
        height = min(extents[one].height for one in line)
        if at:
            found[at] = found[at - 1] + (top - bottom > PARAGRAPH_GAP * height)
        bottom = max(extents[one].bottom for one in line)
    return found


def _on_line(extents: Sequence[Extent], line: Line, number: int) -> bool:
    """Whether a box goes on with a line: beside its nearest box, and over none of them."""
    box, near = extents[number], _nearest(extents, line, number)
    shared = min(near.bottom, box.bottom) - max(near.top, box.top)
    return shared > OVERLAP * min(near.height, box.height) and _gap(near, box) > -0.5 * box.height


def _nearest(extents: Sequence[Extent], line: Line, number: int) -> Extent:
    """The box of a line that is nearest to another one."""
    return min((extents[one] for one in line), key=lambda one: _gap(one, extents[number]))


def _gap(one: Extent, other: Extent) -> float:
    """Pixels between two boxes along the line; negative if they overlap."""
    return max(one.left, other.left) - min(one.right, other.right)


def _columns(extents: Sequence[Extent], of: list[int]) -> list[list[int]]:
    """The boxes of each column, and of what is above and below columns.

    Bands of the page, between gaps from left to right, are joined for as long as a gap from top to bottom goes through.
    """
    if len(of) < 2 * COLUMN_LINES:
        return [of] if of else []
    height = sorted(extents[one].height for one in of)[len(of) // 2]
    bands = _parts(extents, of, 1, 0.0)
    found: list[list[int]] = [[]]
    at = 0
    while at < len(bands):
        end, sides = _joined(extents, bands[at:], COLUMN_GAP * height)
        if sides:
            found += [*_columns(extents, sides[0]), *_columns(extents, sides[1]), []]
        else:
            found[-1] += [one for band in bands[at : at + end] for one in band]
        at += end
    return [block for block in found if block]


def _joined(
    extents: Sequence[Extent], bands: Sequence[list[int]], least: float
) -> tuple[int, tuple[list[int], list[int]] | None]:  # fmt: skip
    """How many bands, from the first one on, belong together; and the boxes on both sides of a gap between columns."""
    of: list[int] = []
    found, seen = None, 0
    for band in bands:
        of = [*of, *band]
        sides = _sides(extents, of, least)
        if not sides:
            break
        seen += 1
        found = next(
            ((seen, pair) for pair in sides if all(_is_column(extents, side) for side in pair)), found
        )  # fmt: skip
    return found or (max(1, seen), None)


def _sides(extents: Sequence[Extent], of: list[int], least: float) -> list[tuple[list[int], list[int]]]:
    """The boxes left and right of each gap from top to bottom that is at least so wide."""
    parts = _parts(extents, of, 0, least)
    return [
        ([one for part in parts[:at] for one in part], [one for part in parts[at:] for one in part])
        for at in range(1, len(parts))
    ]


def _parts(extents: Sequence[Extent], of: list[int], axis: int, least: float) -> list[list[int]]:
    """The boxes between gaps along an axis (0: from left to right, 1: from top to bottom), in that order."""
    found: list[list[int]] = []
    end = -math.inf
    for one in sorted(of, key=lambda number: extents[number][axis]):
        if extents[one][axis] - end > least:
            found.append([])
        found[-1].append(one)
        end = max(end, extents[one][axis + 2])
    return found


def _is_column(extents: Sequence[Extent], of: list[int]) -> bool:
    wide = [one for one in of if extents[one].right - extents[one].left > COLUMN_WIDTH * extents[one].height]
    return len(of) >= COLUMN_LINES and 2 * len(wide) > len(of)
