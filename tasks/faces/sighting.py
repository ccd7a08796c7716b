"""A face as a detector found it, and the steps that all detectors share: levels of scale, and dropping doubles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]
    """(height, width) grey, or (height, width, 3) blue, green, red."""
    Points = npt.NDArray[np.float64]
    """(n, 2): x and y in pixels."""


class Box(NamedTuple):
    """A rectangle in pixels of the picture that was looked at; it may reach over its edge."""

    x: float
    y: float
    width: float
    height: float


class Sighting(NamedTuple):
    """A face that was found."""

    box: Box
    score: float
    """How sure the detector is that it is a face, 0 to 1. Each detector has a scale of its own."""
    points: Points
    """Left eye, right eye, as the viewer sees them; where the detector tells them also nose, and left and right
    corner of the mouth."""


Detector = Callable[["Pixels"], list[Sighting]]
"""All faces of a picture, the best first."""
Boxed = TypeVar("Boxed", Sighting, tuple[Box])


def pad(pixels: Pixels, border: int) -> Pixels:
    """With a border that repeats the edge: detectors want to see something around a face."""
    import cv2

    return cv2.copyMakeBorder(pixels, border, border, border, border, cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def resize(pixels: Pixels, scale: float) -> Pixels:
    """Scaled, without aliasing when it shrinks. At least one pixel each way."""
    import cv2

    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    if size == pixels.shape[1::-1]:
        return pixels
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, size, interpolation=how)  # type: ignore[return-value]


def without_doubles(boxes: Sequence[Box], overlap: float = 0.3) -> list[int]:
    """Which of them to keep, where the first one of those that cover each other is the best.

    Args:
        boxes: The best ones first.
        overlap: Common area by joint area, from which on two are the same. One that lies mostly in another is also
            dropped: a chin taken for a face.
    """
    kept: list[int] = []
    for at, box in enumerate(boxes):
        if not any(_same(box, boxes[other], overlap) for other in kept):
            kept.append(at)
    return kept


def _same(a: Box, b: Box, overlap: float) -> bool:
    wide = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    high = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(0.0, wide) * max(0.0, high)
    areas = a.width * a.height, b.width * b.height
    return common > overlap * (sum(areas) - common) or common > 0.6 * min(areas)
