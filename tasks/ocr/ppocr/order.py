"""In which order boxes of text are read: columns, lines from top to bottom, each from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

OVERLAP = 0.5
"""Boxes are on one line if they share this part of the lower one's height."""
COLUMN_LINES = 4
"""A gap from top to bottom parts columns if there are this many boxes on both sides, at least,"""
COLUMN_WIDTH = 8.0
"""and most of these are wider than this many times their height: else it is a table, which is read line by line."""
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
        if found and _on_line(extents, found[-1], number):
            found[-1].append(number)
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
    box = extents[number]
    near = min((extents[one] for one in line), key=lambda one: _gap(one, box))
    shared = min(near.bottom, box.bottom) - max(near.top, box.top)
    return shared > OVERLAP * min(near.height, box.height) and _gap(near, box) > -0.5 * box.height


def _gap(one: Extent, other: Extent) -> float:
    """Pixels between two boxes along the line; negative if they overlap."""
    return max(one.left, other.left) - min(one.right, other.right)


def _columns(extents: Sequence[Extent], of: list[int]) -> list[list[int]]:
    """Cut boxes at the widest gap that parts columns, again and again; else at the rows above and below columns."""
    if len(of) < 2 * COLUMN_LINES:
        return [of]
    height = sorted(extents[one].height for one in of)[len(of) // 2]
    for left, right in _cut(extents, of, 0, COLUMN_GAP * height):
        if _is_column(extents, left) and _is_column(extents, right):
            return [*_columns(extents, left), *_columns(extents, right)]
    for above, below in _cut(extents, of, 1, PARAGRAPH_GAP * height):
        found = [*_columns(extents, above), *_columns(extents, below)]
        if len(found) > 2:  # one of them has columns
            return found
    return [of]


def _cut(extents: Sequence[Extent], of: list[int], axis: int, least: float) -> list[tuple[list[int], list[int]]]:
    """The boxes on both sides of each gap along an axis (0: from left to right), the widest gap first."""
    ahead = sorted(of, key=lambda one: extents[one][axis])
    gaps, end = [], extents[ahead[0]][axis + 2]
    for at, one in enumerate(ahead):
        gap = extents[one][axis] - end
        if at and gap >= least:
            gaps.append((gap, at))
        end = max(end, extents[one][axis + 2])
    return [(ahead[:at], ahead[at:]) for _, at in sorted(gaps, reverse=True)[:8]]


def _is_column(extents: Sequence[Extent], of: list[int]) -> bool:
    wide = [one for one in of if extents[one].right - extents[one].left > COLUMN_WIDTH * extents[one].height]
    return len(of) >= COLUMN_LINES and 2 * len(wide) > len(of)
