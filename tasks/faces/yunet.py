"""Find faces with YuNet (Wu et al., Machine Intelligence Research 20, 2023), where a bundle holds this network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.faces import sighting
from tasks.faces.sighting import Box, Detector, Sighting

if TYPE_CHECKING:
    from tasks.faces.sighting import Pixels

NEAR_PIXELS = 320
"""The longer side, with its border, at which faces that fill the picture are looked for."""
FAR_PIXELS = 1280
"""The longer side at which smaller ones are, down to some 10 pixels; pictures below are not enlarged for it."""
BORDER = 0.25
LEAST_SCORE = 0.75
OVERLAP = 0.3
MOST_FACES = 5000


def detector(file: Path) -> Detector:
    """Load the network: 5 ms.

    Raises:
        cv2.error: It is no YuNet.
    """
    import cv2

    network = cv2.FaceDetectorYN.create(str(file), "", (NEAR_PIXELS, NEAR_PIXELS), LEAST_SCORE, OVERLAP, MOST_FACES)

    def look(pixels: Pixels, scale: float, border: int) -> list[Sighting]:
        import numpy as np

        network.setInputSize(pixels.shape[1::-1])
        _, rows = network.detect(pixels)
        found = []
        for row in np.zeros((0, 15)) if rows is None else rows.astype(float):
            x, y, width, height = ((row[:4] - (border, border, 0, 0)) / scale).tolist()
            points = (row[4:14].reshape(5, 2) - border) / scale
            apart = float(np.hypot(*(points[1] - points[0])))
            if 0.05 * width < apart < width:  # else it cannot be aligned
                found.append(Sighting(Box(x, y, width, height), min(1.0, float(row[14])), points))
        return found

    def find(colour: Pixels) -> list[Sighting]:
        height, width = colour.shape[:2]
        border = round(min(height, width) * BORDER)
        scale = NEAR_PIXELS / (max(height, width) + 2 * border)
        around = round(border * scale)
        found = look(sighting.pad(sighting.resize(colour, scale), around), scale, around)
        far_scale = min(1.0, FAR_PIXELS / max(height, width))
        if far_scale > 1.2 * scale:
            found += look(sighting.resize(colour, far_scale), far_scale, 0)
        found.sort(key=lambda seen: (-seen.score, seen.box))
        return [found[at] for at in sighting.without_doubles([seen.box for seen in found])]

    return find
