"""Describe a face by SFace (Zhong et al., IEEE TIP 30, 2021), a trained network, where a bundle holds its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.faces import align

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tasks.faces.sighting import Pixels, Sighting
NAME = "sface-1"
"""Another one when the same network would describe a face in another way."""
FEATURES = 128
"""How many numbers describe a face."""


class Network:
    """Loaded once for each bundle: 40 MB."""

    def __init__(self, file: Path) -> None:
        import cv2

        self._network = cv2.FaceRecognizerSF.create(str(file), "")

    def straighten(self, pixels: Pixels, seen: Sighting) -> Pixels:
        """The face as the network wants it: 112 x 112 in colour.

        Args:
            pixels: (height, width, 3) blue, green, red.
            seen: With two points (nose and mouth are then put where they usually are) or five.
        """
        import numpy as np

        row = np.zeros((1, 15), np.float32)
        row[0, :4] = seen.box
        row[0, 4:14] = align.all_points(seen.points).ravel()
        row[0, 14] = seen.score
        return self._network.alignCrop(pixels, row)  # type: ignore[return-value]

    def describe(self, face: Pixels) -> npt.NDArray[np.float16]:
        """(128,) of length 1."""
        import numpy as np

        numbers: Any = self._network.feature(face).ravel().astype(np.float32)
        return (numbers / max(1e-9, float(np.linalg.norm(numbers)))).astype(np.float16)  # type: ignore[no-any-return]
