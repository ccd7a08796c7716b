"""From the scores of a model to probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aggregators.submodels.about import About

Floats = npt.NDArray[np.float64]


def width(about: About) -> int:
    """How many scores a row has: one for each class seen, but one for two classes, and one for a number."""
    return 1 if about.columns <= 2 else about.columns


def apply(about: About, scores: Floats) -> Floats:
    """(rows, width) -> (rows, columns): probabilities of the classes seen; numbers stay."""
    if about.seen is None:
        return scores
    if about.columns == 1:
        return np.ones_like(scores)
    if about.columns == 2:
        second = sigmoid(scores[:, 0])
        return np.stack([1 - second, second], axis=1)
    return softmax(scores)


def sigmoid(scores: Floats) -> Floats:
    """1 / (1 + exp(-x)), of which no x overflows."""
    small = np.exp(-np.abs(scores))
    shares: Floats = np.where(scores >= 0, 1 / (1 + small), small / (1 + small))
    return shares


def softmax(scores: Floats) -> Floats:
    """(rows, classes) -> shares that sum to 1."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares
