"""Fit combiners, and choose one by the validation rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregators.ensemble.combiner import Combiner, Floats, How
from aggregators.ensemble.state import Tried
from aggregators.likeliest import likeliest

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Of the regularisation of a stack, as scikit-learn's C: less is simpler."""
SIMPLEST: tuple[How, ...] = ("average", "weighted", "vote", "stack")
"""In this order a combiner is preferred to others that are not clearly better."""
STEPS = 50
MOST_SE = 1.0
"""Standard errors of the difference up to which another combiner is not clearly better."""


def weights(scores: NDArray[np.float32], y: NDArray[Any]) -> Floats:
    """Return a weight for each sub-model, (models,), by rows that it has not seen.

    Of classes they are the shares of a mixture that make the right classes likeliest, found by ``STEPS`` of expectation
    and maximisation (Jordan and Jacobs, "Hierarchical mixtures of experts and the EM algorithm", 1994); one more row
    for each sub-model keeps each above 0. Of numbers they are the inverse of the mean squared error.
    """
    models = scores.shape[1]
    if scores.shape[2] == 1:
        errors = ((scores[:, :, 0] - y[:, None].astype(np.float64)) ** 2).mean(axis=0)
        inverse = 1 / np.maximum(errors, 1e-12)
        return np.asarray(inverse / inverse.sum(), np.float64)
    right = np.maximum(scores[np.arange(len(y)), :, y].astype(np.float64), 1e-6)  # (rows, models)
    found = np.full(models, 1 / models)
    for _ in range(STEPS):
        mixed = right * found
        share = (mixed / mixed.sum(axis=1, keepdims=True)).sum(axis=0)
        found = (share + 1) / (len(y) + models)
    return np.asarray(found / found.sum(), np.float64)


def gains(combiner: Combiner, scores: NDArray[np.float32], y: NDArray[Any]) -> Floats:
    """Return how good a combiner is on each row, (rows,), more is better: 1 for the right class, or minus the squared
    error."""
    found = combiner.combine(scores)
    if combiner.outputs == 1:
        return np.asarray(-((found[:, 0] - y) ** 2), np.float64)
    return np.asarray(likeliest(found) == y, np.float64)


def score(gained: Floats, unit: float | None) -> float | None:
    """Return one number for people: the accuracy, or the root of the mean squared error in the number's own unit.

    Args:
        gained: See ``gains``.
        unit: Of the scaled number; None of classes.
    """
    if not len(gained):
        return None
    mean = float(gained.mean())
    return round(mean, 6) if unit is None else float(f"{np.sqrt(max(0.0, -mean)) * unit:.6g}")


def best(tried: Sequence[Combiner], scores: NDArray[np.float32], y: NDArray[Any]) -> int:
    """Return which combiner is the best on rows that none was fitted on.

    The first in ``SIMPLEST`` wins among those whose difference from the best, row by row, is within ``MOST_SE``
    standard errors.
    """
    if not len(y):
        return min(range(len(tried)), key=lambda at: SIMPLEST.index(tried[at].how))
    found = [gains(each, scores, y) for each in tried]
    top = max(range(len(tried)), key=lambda at: (float(found[at].mean()), -SIMPLEST.index(tried[at].how)))

    def is_as_good(at: int) -> bool:
        difference = found[top] - found[at]
        return bool(difference.mean() <= MOST_SE * difference.std() / np.sqrt(len(y)))

    return min(filter(is_as_good, range(len(tried))), key=lambda at: SIMPLEST.index(tried[at].how))


def judged(combiner: Combiner, scores: NDArray[np.float32], y: NDArray[Any], unit: float | None) -> Tried:
    """Return a combiner with its score on the validation rows."""
    return Tried(combiner, score(gains(combiner, scores, y), unit))
