"""Fit a stack with scikit-learn: a linear model on what sub-models say."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregators.ensemble.choice import STRENGTHS
from aggregators.ensemble.combiner import NEVER, Floats

__all__ = ["STRENGTHS", "fit"]

STEPS = 100
"""Of the solver. A stack that has not settled by then is judged by the validation rows as any other."""


def fit(scores: NDArray[np.float32], y: NDArray[Any], strength: float, is_classes: bool) -> tuple[Floats, Floats]:
    """Return coefficients (outputs, models * outputs) and intercepts (outputs,), see ``Combiner``.

    Args:
        scores: (rows, models, outputs), of rows that no sub-model has seen.
        y: (rows,): classes, or scaled numbers.
        strength: scikit-learn's C of a logistic regression; of numbers 1 / alpha of a ridge regression.
        is_classes: They are classes.

    Raises:
        ValueError: The rows are of one class.
    """
    from threadpoolctl import threadpool_limits

    flat = scores.reshape(len(scores), -1).astype(np.float64)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _of_classes(flat, y, strength, scores.shape[2]) if is_classes else _of_numbers(flat, y, strength)


def _of_classes(flat: Floats, y: NDArray[Any], strength: float, outputs: int) -> tuple[Floats, Floats]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=STEPS).fit(flat, y)
    coefficients, intercepts = np.zeros((outputs, flat.shape[1])), np.full(outputs, NEVER)
    found, offsets = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row, of the second class
        found, offsets = np.concatenate([0 * found, found]), np.concatenate([[0.0], offsets])
    coefficients[model.classes_], intercepts[model.classes_] = found, offsets
    return coefficients, intercepts


def _of_numbers(flat: Floats, y: NDArray[Any], strength: float) -> tuple[Floats, Floats]:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / strength).fit(flat, y.astype(np.float64))
    return model.coef_.reshape(1, -1), np.array([float(model.intercept_)])
