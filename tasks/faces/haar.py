"""Find faces and their eyes with the cascades that ship with OpenCV: nothing to download.

Two steps. First candidates, at two levels: the picture made small, for faces that fill it, and at up to ``FAR_PIXELS``,
for those in a crowd. Then each candidate is cut out, brought to one size and looked at by three cascades and by those
for eyes. What too few of them agree about is no face.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.faces import align, sighting
from tasks.faces.sighting import Box, Sighting

if TYPE_CHECKING:
    from tasks.faces.sighting import Pixels, Points

ID = "haar-1"
"""Another one when faces would be found elsewhere: features of faces found in different ways do not compare."""

NEAR_PIXELS = 200
"""The longer side, with its border, at which faces from a third of the picture's shorter side on are looked for."""
FAR_PIXELS = 1280
"""The longer side at which smaller ones are; pictures below are not enlarged for it."""
SMALLEST_PIXELS = 24
"""The width of the smallest box at that level, which is that of a face of some 20 pixels."""
BORDER = 1 / 3
STEP = 1.1
"""Factor from one size of faces that is looked for to the next."""
FAR_STEP = 1.2
"""Coarser: with every single hit taken for a candidate it finds as many as ``STEP``, in half the time."""
FACE_PIXELS = 160
"""The width of a face that is looked at closely; the eye cascades need about that."""
MARGIN = 0.25
"""How much more is looked at on each side, by the width of the face."""
EYES_APART = EYES_DOWN = 0.38
"""Where eyes are in a box, by its width."""
ENOUGH = 36
"""Windows of all three cascades together that make a face. Real ones have 54 to 270, print at most 32."""
SURE = 80


class _Cascades(NamedTuple):
    faces: tuple[Any, ...]
    eyes: tuple[Any, ...]


@functools.cache
def _cascades() -> _Cascades:
    """Loaded once in a process, as that takes 60 ms."""
    import cv2

    folder = Path(cv2.__file__).with_name("data")

    def load(name: str) -> Any:
        return cv2.CascadeClassifier(f"{folder}/haarcascade_{name}.xml")

    return _Cascades(
        tuple(map(load, ("frontalface_alt2", "frontalface_default", "frontalface_alt"))),
        tuple(map(load, ("eye", "lefteye_2splits", "righteye_2splits"))),
    )


def find(grey: Pixels) -> list[Sighting]:
    """All upright faces that look about this way, the best first.

    The score is n / (n + 36), where n is the number of windows that the cascades took for this face: 0.5 and more.
    """
    found = [seen for box in _candidates(grey) if (seen := _look_closely(grey, box))]
    found.sort(key=lambda seen: (-seen.score, -seen.box.width, seen.box))
    return [found[at] for at in sighting.without_doubles([seen.box for seen in found])]


def _candidates(grey: Pixels) -> list[Box]:
    height, width = grey.shape
    border = round(min(height, width) * BORDER)
    scale = NEAR_PIXELS / (max(height, width) + 2 * border)
    # The border comes last: less to copy.
    small = sighting.pad(sighting.resize(grey, scale), round(border * scale))
    least = round(0.2 * min(small.shape))
    boxes: list[Box] = []
    far_scale = min(1.0, FAR_PIXELS / max(height, width))
    most = round(1.2 * least / scale * far_scale)
    if most > 1.3 * SMALLEST_PIXELS:
        far, sizes = sighting.resize(grey, far_scale), {"minSize": (SMALLEST_PIXELS,) * 2, "maxSize": (most,) * 2}
        found = _cascades().faces[0].detectMultiScale(far, FAR_STEP, 1, **sizes)
        boxes = [_back(box, far_scale, 0) for box in found]
    # By the first cascade that finds anything; where nobody has, with less agreement asked for.
    for agreeing, cascade in itertools.product((3,) if boxes else (3, 1), _cascades().faces):
        found = cascade.detectMultiScale(small, STEP, agreeing, minSize=(least, least))
        if len(found):
            boxes = [_back(box, scale, round(border * scale)) for box in found] + boxes
            break
    return [boxes[at] for at in sighting.without_doubles(boxes, 0.5)]


def _back(box: Any, scale: float, border: int) -> Box:
    x, y, width, height = map(float, box)
    return Box((x - border) / scale, (y - border) / scale, width / scale, height / scale)


def _look_closely(grey: Pixels, box: Box) -> Sighting | None:
    """The face in or near the box, as exactly as the cascades that agree place it."""
    cut = align.cut(grey, box, FACE_PIXELS, MARGIN)
    hits, seen = _agreement(cut.pixels)
    if not hits:
        return None
    eyes = _eyes(cut.pixels, seen)
    if hits < SURE and all(eye is not None for eye in eyes):
        # Cascades miss faces that lean to a side: turn it upright by its eyes, and look again.
        hits = max(hits, _agreement(_upright(cut.pixels, _both(eyes, seen)))[0])
    score = hits / (hits + ENOUGH)
    if score < 0.5:
        return None
    return Sighting(cut.box_of(seen), score, cut.points_of(_both(eyes, seen)))


def _agreement(cut: Pixels) -> tuple[int, Box]:
    """How many windows of all cascades take the face in the middle for one, and the box they mean together."""
    import numpy as np

    boxes, hits = [], 0
    least, most = round(0.7 * FACE_PIXELS), round(1.35 * FACE_PIXELS)
    for cascade in _cascades().faces:
        found, windows = cascade.detectMultiScale2(cut, STEP, 2, minSize=(least, least), maxSize=(most, most))
        if len(found):
            at = max(range(len(found)), key=lambda at: (windows[at], *found[at]))
            boxes.append(found[at])
            hits += int(windows[at])
    return hits, Box(*map(float, np.mean(boxes, axis=0))) if boxes else Box(0, 0, 0, 0)


def _upright(cut: Pixels, eyes: Points) -> Pixels:
    import cv2
    import numpy as np

    middle, (wide, high) = eyes.mean(axis=0), eyes[1] - eyes[0]
    turn = cv2.getRotationMatrix2D(tuple(map(float, middle)), float(np.degrees(np.arctan2(high, wide))), 1.0)
    return cv2.warpAffine(cut, turn, cut.shape[::-1], borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _eyes(cut: Pixels, box: Box) -> list[Points | None]:
    """The left and the right eye: the median of what the cascades find where one may be."""
    import numpy as np

    eyes: list[Points | None] = []
    middle, down, reach = box.x + box.width / 2, box.y + EYES_DOWN * box.width, 0.28 * box.width
    smallest, largest = round(0.14 * box.width), round(0.4 * box.width)
    for x in (middle - EYES_APART / 2 * box.width, middle + EYES_APART / 2 * box.width):
        left, top = max(0, round(x - reach)), max(0, round(down - reach))
        window = cut[top : round(down + reach), left : round(x + reach)]
        found = [
            (left + at_x + width / 2, top + at_y + height / 2)
            for cascade in _cascades().eyes
            for at_x, at_y, width, height in cascade.detectMultiScale(
                window, STEP, 2, minSize=(smallest, smallest), maxSize=(largest, largest)
            )
        ]
        near = [eye for eye in found if abs(eye[0] - x) < 0.14 * box.width and abs(eye[1] - down) < 0.13 * box.width]
        eyes.append(np.median(near, axis=0) if near else None)
    return eyes


def _both(eyes: list[Points | None], box: Box) -> Points:
    """Both eyes; one that was not found is taken to be beside the other, or where eyes usually are."""
    import numpy as np

    left, right = eyes
    apart = np.array((EYES_APART * box.width, 0.0))
    if left is None and right is None:
        left = np.array((box.x + (1 - EYES_APART) / 2 * box.width, box.y + EYES_DOWN * box.width))
    if left is None:
        left = right - apart
    return np.array((left, left + apart if right is None else right))
