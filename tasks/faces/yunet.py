"""Find faces with YuNet (Wu et al., Machine Intelligence Research 20, 2023), where a bundle holds this network."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.faces import align, sighting
from tasks.faces.sighting import Box, Detector, Sighting

if TYPE_CHECKING:
    from tasks.faces.sighting import Pixels, Points

NAME = "yunet-1"
"""Another one when faces would be found elsewhere with the same network."""
NEAR_PIXELS = 320
"""The longer side, with its border, at which faces that fill the picture are looked for."""
FAR_PIXELS = 1920
"""The longer side at which smaller ones are, down to some 24 pixels; pictures below are not enlarged for it."""
LEAST_PIXELS = 64
"""In pictures with a side of 32 or fewer OpenCV 4.14 finds faces in memory that nobody has written."""
BORDER = 0.25
LEAST_SCORE = 0.75
OVERLAP = 0.3
MOST_FACES = 5000
FACE_PIXELS = 96
"""The width of a face that is looked at a second time."""
MARGIN = 0.5
OTHER_SIDE = (1, 0, 2, 4, 3)
"""Which point is which in the mirror."""

Look = Callable[["Pixels"], "list[Sighting]"]


def detector(file: Path) -> Detector:
    """Load the network: 5 ms.

    Raises:
        cv2.error: It is no YuNet.
    """
    import cv2

    network: Any = cv2.FaceDetectorYN.create(str(file), "", (NEAR_PIXELS,) * 2, LEAST_SCORE, OVERLAP, MOST_FACES)

    def look(pixels: Pixels) -> list[Sighting]:
        import numpy as np

        high, wide = (max(0, LEAST_PIXELS - side) for side in pixels.shape[:2])
        if high or wide:
            pixels = cv2.copyMakeBorder(pixels, 0, high, 0, wide, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        network.setInputSize(pixels.shape[1::-1])
        _, rows = network.detect(np.ascontiguousarray(pixels))
        # On pictures of a pixel's height it tells of infinitely large faces.
        largest = 2 * max(pixels.shape)
        sane = [row for row in ([] if rows is None else rows) if (abs(row) < largest).all() and min(row[2:4]) > 1]
        return [_sighting(row.tolist()) for row in sane]

    def find(colour: Pixels) -> list[Sighting]:
        found = _all(look, colour)
        found.sort(key=lambda seen: (-seen.score, seen.box))
        kept = [found[at] for at in sighting.without_doubles([seen.box for seen in found])]
        exact = [seen._replace(points=_exactly(look, colour, seen)) for seen in kept]
        return [seen for seen in exact if _can_be_aligned(seen)]

    return find


def _sighting(row: list[float]) -> Sighting:
    import numpy as np

    return Sighting(Box(*row[:4]), min(1.0, row[14]), np.array(row[4:14]).reshape(5, 2))


def _all(look: Look, colour: Pixels) -> list[Sighting]:
    """All faces, some twice: those that fill the picture, and at a larger scale the others."""
    height, width = colour.shape[:2]
    border = round(min(height, width) * BORDER)
    scale = NEAR_PIXELS / (max(height, width) + 2 * border)
    around = round(border * scale)
    small = sighting.pad(sighting.resize(colour, scale), around)
    found = [_back(seen, align.Cut(small, scale, -around / scale, -around / scale)) for seen in look(small)]
    larger = min(1.0, FAR_PIXELS / max(height, width))
    if larger > 1.2 * scale:
        pixels = sighting.resize(colour, larger)
        found += [_back(seen, align.Cut(pixels, larger, 0, 0)) for seen in look(pixels)]
    return found


def _back(seen: Sighting, cut: align.Cut) -> Sighting:
    return Sighting(cut.box_of(seen.box), seen.score, cut.points_of(seen.points))


def _exactly(look: Look, colour: Pixels, seen: Sighting) -> Points:
    """Its points, the mean of three looks: this first one, a closer one, and that in a mirror.

    Points jitter by a pixel or two; on portraits of 92 x 112 pixels this halves the pictures taken for somebody else.
    """
    import numpy as np

    x, y, width, height = seen.box
    square = Box(x, y + (height - width) / 2, width, width)
    cut = align.cut(colour, square, FACE_PIXELS, MARGIN)
    side = cut.pixels.shape[1]
    points = [seen.points]
    for mirrored in (False, True):
        near = [_middle_and_points(one) for one in look(cut.pixels[:, ::-1] if mirrored else cut.pixels)]
        near = [one for one in near if math.dist(one[0], (side / 2, side / 2)) < FACE_PIXELS / 3]
        if near:
            _, found = min(near, key=lambda one: math.dist(one[0], (side / 2, side / 2)))
            if mirrored:
                found = (found * (-1, 1) + (side - 1, 0))[list(OTHER_SIDE)]
            points.append(cut.points_of(found))
    return np.mean(points, axis=0)  # type: ignore[no-any-return]


def _middle_and_points(seen: Sighting) -> tuple[tuple[float, float], Points]:
    x, y, width, height = seen.box
    return (x + width / 2, y + height / 2), seen.points


def _can_be_aligned(seen: Sighting) -> bool:
    apart = math.dist(seen.points[0], seen.points[1])
    return 0.05 * seen.box.width < apart < seen.box.width
