"""Where the detector sees text: boxes of its map of probabilities, and the pieces of the page in them.

The detector is of the kind DB (Liao et al. 2020, "Real-time Scene Text Detection with Differentiable Binarization"):
its map shows the core of each line, which is smaller than the line. A box grows by area * ``GROWTH`` / perimeter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Pixels = np.ndarray[Any, np.dtype[np.uint8]]
    Floats = np.ndarray[Any, np.dtype[np.float32]]

INK = 0.3
"""Pixels of the map with more than this are text."""
SURE = 0.5
"""Boxes whose pixels have less than this in the mean are dropped."""
GROWTH = 1.6
LEAST_CORE, LEAST_SIDE = 3, 5
"""Pixels of the map: cores and boxes with a shorter side are specks."""
MOST = 3000
"""Boxes of a page; a page of small print has 1,000."""
TALL = 1.5
"""A piece is turned by a quarter if it is this many times as high as wide: its letters stand below each other, or are
turned."""


def of(probabilities: Floats, width: int, height: int) -> Floats:
    """The boxes of all text, as corners: top left, top right, bottom right, bottom left; in pixels of the page.

    Args:
        probabilities: The detector's map, float32 of shape (rows, columns).
        width: Of the page that the map is of, in pixels.
        height: Likewise.

    Returns:
        float32 of shape (n, 4, 2), x before y, in no order.
    """
    import cv2
    import numpy as np

    rows, columns = probabilities.shape
    mask = cv2.dilate((probabilities > INK).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour in contours[:MOST]:
        core = cv2.minAreaRect(contour)
        if min(core[1]) < LEAST_CORE or _mean(probabilities, _corners(core)) < SURE:
            continue
        grown = _grown(core)
        if min(grown[1]) >= LEAST_SIDE:
            found.append(ordered(_corners(grown)))
    boxes = np.array(found, np.float32).reshape(-1, 4, 2) * (width / columns, height / rows)
    return np.asarray(np.clip(boxes, 0, (width - 1, height - 1)), np.float32)


def ordered(corners: Floats) -> Floats:
    """The corners of a box from the top left one on, clockwise."""
    import numpy as np

    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    top_left, bottom_left = by_x[:2][np.argsort(by_x[:2, 1], kind="stable")]
    top_right, bottom_right = by_x[2:][np.argsort(by_x[2:, 1], kind="stable")]
    return np.stack([top_left, top_right, bottom_right, bottom_left])


def is_tall(box: Floats) -> bool:
    """Whether the piece in a box is turned before it is read."""
    width, height = _size(box)
    return height >= TALL * width


def piece(page: Pixels, box: Floats) -> Pixels:
    """The part of the page in a box, straight; a tall one turned by a quarter against the clock."""
    import cv2
    import numpy as np

    width, height = _size(box)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    # Only what is around the box is moved: the whole page may be a hundred times as large.
    left, top = np.maximum(np.floor(box.min(0)).astype(int) - 2, 0)
    right, bottom = np.ceil(box.max(0)).astype(int) + 3
    matrix = cv2.getPerspectiveTransform((box - (left, top)).astype(np.float32), target)
    straight = cv2.warpPerspective(
        np.ascontiguousarray(page[top:bottom, left:right]), matrix, (width, height), flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.rot90(straight) if is_tall(box) else straight  # type: ignore[return-value]


def _corners(rectangle: Any) -> Floats:
    """The corners of a turned rectangle, in no order."""
    import cv2
    import numpy as np

    return np.asarray(cv2.boxPoints(rectangle), np.float32)


def _grown(core: Any) -> Any:
    """A turned rectangle (centre, size, angle), larger by the same distance on all sides."""
    centre, (width, height), angle = core
    distance = width * height * GROWTH / (2 * (width + height))
    return centre, (width + 2 * distance, height + 2 * distance), angle


def _mean(probabilities: Floats, corners: Floats) -> float:
    """The mean of the map within a box."""
    import cv2
    import numpy as np

    rows, columns = probabilities.shape
    left, top = np.clip(np.floor(corners.min(0)).astype(int), 0, (columns - 1, rows - 1))
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int), 0, (columns - 1, rows - 1))
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(corners - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(probabilities[top : bottom + 1, left : right + 1], mask)[0])


def _size(box: Floats) -> tuple[int, int]:
    """Width and height in whole pixels, 1 at least."""
    width = max(_distance(box[0], box[1]), _distance(box[3], box[2]))
    height = max(_distance(box[0], box[3]), _distance(box[1], box[2]))
    return max(1, round(width)), max(1, round(height))


def _distance(one: Floats, other: Floats) -> float:
    return float(((one - other) ** 2).sum() ** 0.5)
