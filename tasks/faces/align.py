"""Bring a face to one size and pose: what decides how well it is recognised."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from tasks.faces.sighting import Box

if TYPE_CHECKING:
    from tasks.faces.sighting import Pixels, Points

WIDTH, HEIGHT = 96, 112
"""Size of an aligned face, in pixels."""
PLACES = ((0.3, 0.36), (0.7, 0.36), (0.5, 0.556), (0.334, 0.756), (0.666, 0.756))
"""Where eyes, nose and the corners of the mouth come to lie, as shares of width and height: the usual
proportions of faces (those that ArcFace and SFace align to)."""


class Cut(NamedTuple):
    """A square piece of a picture, scaled."""

    pixels: Pixels
    scale: float
    """Pixels of the piece for one pixel of the picture."""
    left: float
    """Where its corner is in the picture."""
    top: float

    def box_of(self, box: Box) -> Box:
        """Where a box in it is in the picture."""
        x, y, width, height = (number / self.scale for number in box)
        return Box(self.left + x, self.top + y, width, height)

    def points_of(self, points: Points) -> Points:
        """Where points in it are in the picture."""
        return points / self.scale + (self.left, self.top)


def cut(pixels: Pixels, box: Box, face_pixels: int, margin: float) -> Cut:
    """The square around ``box``, scaled so that its width becomes ``face_pixels``.

    Args:
        pixels: The picture; beyond its edge, the edge goes on.
        box: The face.
        face_pixels: Its width in what is given.
        margin: How much more to take on each side, by the width of the box.
    """
    import cv2

    side = max(1, round(box.width * (1 + 2 * margin)))
    height, width = pixels.shape[:2]
    # Always with at least a row and a column of the picture.
    left = min(max(round(box.x + box.width / 2 - side / 2), 1 - side), width - 1)
    top = min(max(round(box.y + box.height / 2 - side / 2), 1 - side), height - 1)
    part = pixels[max(0, top) : top + side, max(0, left) : left + side]
    beyond = (max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width))
    if any(beyond):
        part = cv2.copyMakeBorder(part, *beyond, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    wanted = round(face_pixels * (1 + 2 * margin))
    how = cv2.INTER_AREA if wanted < side else cv2.INTER_CUBIC
    return Cut(cv2.resize(part, (wanted, wanted), interpolation=how), wanted / side, left, top)  # type: ignore[arg-type]


def straighten(pixels: Pixels, points: Points) -> Pixels:
    """The face turned upright, with its eyes at ``PLACES``.

    Args:
        pixels: The picture, grey or in colour.
        points: (2, 2) eyes, or (5, 2) eyes, nose and mouth, in its pixels.

    Returns:
        ``HEIGHT`` x ``WIDTH`` pixels, of the colours of the picture.
    """
    import cv2
    import numpy as np

    goal = np.array(PLACES[: len(points)]) * (WIDTH, HEIGHT)
    turn = similarity(points, goal)
    scale = math.hypot(turn[0, 0], turn[1, 0])
    if scale < 0.5:  # a warp looks at few pixels: shrink the surroundings first, so that none is left out
        side = 2.4 * max(WIDTH, HEIGHT) / scale
        x, y = points[:2].mean(axis=0)
        around = cut(pixels, Box(x - side / 2, y - side / 2, side, side), round(side * scale / 0.8), 0)
        return straighten(around.pixels, (points - (around.left, around.top)) * around.scale)
    return cv2.warpAffine(pixels, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def all_points(points: Points) -> Points:
    """(5, 2): with nose and mouth where they usually are, if ``points`` are only the eyes."""
    import numpy as np

    if len(points) == len(PLACES):
        return points
    usual = np.array(PLACES) * (WIDTH, HEIGHT)
    turn = similarity(usual[: len(points)], points)
    return np.concatenate((points, usual[len(points) :] @ turn[:, :2].T + turn[:, 2]))


def similarity(points: Points, goal: Points) -> Points:
    """The (2, 3) turn, scale and shift that brings ``points`` nearest to ``goal``, by least squares.

    Umeyama, IEEE PAMI 13 (1991), without mirroring; in the complex plane it is one division.
    """
    import numpy as np

    source, target = points[:, 0] + 1j * points[:, 1], goal[:, 0] + 1j * goal[:, 1]
    centred = source - source.mean()
    turn = (centred.conj() @ (target - target.mean())) / max(1e-9, float((abs(centred) ** 2).sum()))
    shift = target.mean() - turn * source.mean()
    return np.array(((turn.real, -turn.imag, shift.real), (turn.imag, turn.real, shift.imag)))
