"""Where the pixels of a page as it was read lie in the page's own space, through its boxes and its turns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pikepdf

LETTER = (0.0, 0.0, 612.0, 792.0)
"""The page that a PDF means that names none."""
MOST_PARENTS = 100
"""Levels of a page tree that are climbed. A damaged one may go round in circles."""
LARGEST = 1e7
"""No coordinate of a page is larger."""

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


class Space(NamedTuple):
    """The page as it is seen upright has its own origin at the lower left, x to the right and y up, in the page's
    units (points, where it has no /UserUnit). The page itself lies turned by ``turn`` below that.
    """

    box: Box
    """What is seen of the page, in the page's own space."""
    turn: int
    """Degrees clockwise, 0, 90, 180 or 270, by which it is turned to be seen upright."""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the page as it is seen upright."""
        width, height = self.box[2] - self.box[0], self.box[3] - self.box[1]
        return (height, width) if self.turn in (90, 270) else (width, height)

    def matrix(self, x: float, y: float, cosine: float, sine: float) -> tuple[float, float, float, float, float, float]:
        """The text matrix for text at a place of the upright page, on a baseline that rises by an angle."""
        left, bottom, right, top = self.box
        if self.turn == 90:
            return -sine, cosine, -cosine, -sine, right - y, bottom + x
        if self.turn == 180:
            return -cosine, -sine, sine, -cosine, right - x, top - y
        if self.turn == 270:
            return sine, -cosine, cosine, sine, left + y, top - x
        return cosine, sine, -sine, cosine, left + x, bottom + y


def of_page(page: pikepdf.Object, turn: int = 0) -> Space:
    """The space of a page that had to be turned by ``turn`` more degrees to be read.

    As PDFium sees it, which has rendered it: a page without a MediaBox is a letter, and what lies in the CropBox and
    the MediaBox is seen.
    """
    media = _box(inherited(page, "/MediaBox")) or LETTER
    crop = _box(inherited(page, "/CropBox")) or media
    seen = max(media[0], crop[0]), max(media[1], crop[1]), min(media[2], crop[2]), min(media[3], crop[3])
    return Space(seen if seen[0] < seen[2] and seen[1] < seen[3] else media, (rotation(page) + turn) % 360)


def rotation(page: pikepdf.Object) -> int:
    """The page's /Rotate: 0, 90, 180 or 270."""
    number = _number(inherited(page, "/Rotate"))
    return 0 if number is None else int(number) // 90 * 90 % 360


def inherited(page: pikepdf.Object, key: str) -> pikepdf.Object | None:
    """What the page says under this key, or the nearest of its parents that says something."""
    return next((node[key] for node in ancestry(page) if key in node), None)


def ancestry(page: pikepdf.Object) -> Iterator[pikepdf.Object]:
    """The page, its parent, and so on."""
    import pikepdf

    node: pikepdf.Object | None = page
    for _ in range(MOST_PARENTS):
        if not isinstance(node, pikepdf.Dictionary):
            return
        yield node
        node = node.get("/Parent")


def _box(value: object) -> Box | None:
    import pikepdf

    if not isinstance(value, pikepdf.Array) or len(value) != 4:
        return None
    numbers = [number for number in map(_number, value) if number is not None]
    if len(numbers) != 4:
        return None
    left, right = sorted(numbers[0::2])
    bottom, top = sorted(numbers[1::2])
    return (left, bottom, right, top) if left < right and bottom < top else None


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def line_angle(slope: float, scale: Sequence[float]) -> tuple[float, float]:
    """Cosine and sine of the angle at which a line rises that falls by ``slope`` pixels a pixel, of this scale."""
    angle = math.atan2(-slope * scale[1], scale[0])
    return math.cos(angle), math.sin(angle)
