"""Which class a row has, by its scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

TIE = 4e-6
"""Scores that differ by less are equal: two engines add up the same scores, and each rounds in its own way."""


def likeliest(scores: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """(…, classes) -> (…): the class with the highest score, of equal ones the first.

    So a row has the same class with NumPy and with ONNX Runtime, also where two classes share it.
    """
    found: npt.NDArray[np.int64] = (scores >= scores.max(axis=-1, keepdims=True) - TIE).argmax(axis=-1)
    return found
