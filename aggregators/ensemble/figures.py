"""How good an ensemble is: sums that shards hand in of their test rows, and the figures made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregators.ensemble import arrays
from aggregators.ensemble.state import Card
from aggregators.likeliest import likeliest

DIGITS = 6
LEAST_PROBABILITY = 1e-15
"""A probability of 0 for the right class would cost an infinite log loss: scikit-learn cuts it off as well."""
MOST_ROC = 2**20
"""Rows of two classes that the area below the curve is measured on."""


def measure(scores: NDArray[np.float64], y: NDArray[Any], *, is_classes: bool) -> dict[str, Any]:
    """Return sums of these rows.

    Args:
        scores: (rows, outputs): probabilities, or scaled numbers.
        y: (rows,): classes, or scaled numbers.
        is_classes: They are classes.
    """
    if not is_classes:
        found, wanted = scores[:, 0], y.astype(np.float64)
        return {
            "rows": len(y), "squared": float(((found - wanted) ** 2).sum()),
            "absolute": float(abs(found - wanted).sum()),
            "sum": float(wanted.sum()), "sum2": float((wanted**2).sum()),
        }  # fmt: skip
    outputs = scores.shape[1]
    confusion = np.bincount(y * outputs + likeliest(scores), minlength=outputs**2).reshape(outputs, outputs)
    right = np.maximum(scores[np.arange(len(y)), y], LEAST_PROBABILITY)
    sums = {"rows": len(y), "confusion": confusion.tolist(), "loss": float(-np.log(right).sum())}
    if outputs == 2:
        sums |= {"of_second": arrays.dump(scores[:, 1].astype(np.float32)), "y": arrays.dump(y.astype(np.int32))}
    return sums


def check(sums: Any, outputs: int, *, is_classes: bool) -> None:
    """See that sums of another machine are such.

    Raises:
        ValueError: They are not.
    """
    if not isinstance(sums, dict) or type(sums.get("rows")) is not int or sums["rows"] < 0:
        raise ValueError("its sums name no rows")
    numbers = ("loss",) if is_classes else ("squared", "absolute", "sum", "sum2")
    matrices = ("confusion", *(("of_second", "y") if outputs == 2 else ())) if is_classes else ()
    if sums.keys() != {"rows", *numbers, *matrices}:
        raise ValueError(f"its sums are of other names than {', '.join(('rows', *numbers, *matrices))}")
    if not all(isinstance(sums.get(name), float) and math.isfinite(sums[name]) for name in numbers):
        raise ValueError("its sums are no numbers")
    if is_classes:
        matrix = sums.get("confusion")
        if not isinstance(matrix, list) or len(matrix) != outputs or not all(_is_row(row, outputs) for row in matrix):
            raise ValueError(f"its confusion matrix is none of {outputs} classes")
        if sum(map(sum, matrix)) != sums["rows"]:
            raise ValueError("its confusion matrix has another number of rows than it was measured on")
        if outputs == 2:
            arrays.load(sums.get("of_second"), np.float32, (sums["rows"],), "probabilities")
            y = arrays.load(sums.get("y"), np.int32, (sums["rows"],), "classes")
            if not np.isin(y, (0, 1)).all():
                raise ValueError("its classes are none of the two")


def add(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the sums of shards, in their order."""
    total: dict[str, Any] = {}
    second: list[NDArray[Any]] = []
    y: list[NDArray[Any]] = []
    for sums in found:
        for name, value in sums.items():
            if name == "confusion":
                total[name] = (np.array(value) + np.array(total.get(name, 0))).tolist()
            elif name == "of_second":
                second.append(arrays.load(value, np.float32, (None,), "probabilities"))
            elif name == "y":
                y.append(arrays.load(value, np.int32, (None,), "classes"))
            else:
                total[name] = total.get(name, 0) + value
    if second and (area := roc_auc(np.concatenate(second)[:MOST_ROC], np.concatenate(y)[:MOST_ROC])) is not None:
        total["roc_auc"] = area
    return total


def tell(sums: Mapping[str, Any], card: Card) -> dict[str, Any]:
    """Return figures for people; none without rows.

    Of classes ``accuracy``, ``balanced_accuracy`` (the mean over the classes that have rows of the share that is
    right), ``macro_f1`` (the mean of F1 over these classes), ``log_loss``, of two classes ``roc_auc``, and the
    confusion matrix, ``confusion[true][said]``. Of numbers ``rmse`` and ``mae`` in their own unit, and ``r2``.
    """
    rows = sums.get("rows", 0)
    if not rows:
        return {}
    told: dict[str, Any] = {"rows": rows}
    if "confusion" in sums:
        matrix = np.array(sums["confusion"], np.float64)
        right, true, said = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        there = true > 0
        told |= {
            "accuracy": round(float(right.sum() / rows), DIGITS),
            "balanced_accuracy": round(float((right[there] / true[there]).mean()), DIGITS),
            "macro_f1": round(float((2 * right[there] / (true + said)[there]).mean()), DIGITS),
            "log_loss": round(sums["loss"] / rows, DIGITS),
        }
        if "roc_auc" in sums:
            told["roc_auc"] = round(sums["roc_auc"], DIGITS)
        return {**told, "confusion": sums["confusion"]}
    unit = card["target_scale"]["std"] if card["target_scale"] else 1.0
    told |= {
        "rmse": float(f"{math.sqrt(sums['squared'] / rows) * unit:.6g}"),
        "mae": float(f"{sums['absolute'] / rows * unit:.6g}"),
    }
    spread = sums["sum2"] - sums["sum"] ** 2 / rows
    if spread > 1e-12 * abs(sums["sum2"]):  # else all targets are the same
        told["r2"] = round(1 - sums["squared"] / spread, DIGITS)
    return told


def roc_auc(scores: NDArray[Any], y: NDArray[Any]) -> float | None:
    """Return the area below the ROC curve of two classes; None where the rows are of one class.

    It is the chance that a row of the second class has the higher score (Mann and Whitney, 1947); equal scores count
    half.
    """
    second = int(y.sum())
    first = len(y) - second
    if not first or not second:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place]
    return float((ranks[y == 1].sum() - second * (second + 1) / 2) / (first * second))


def _is_row(row: Any, classes: int) -> bool:
    return isinstance(row, list) and len(row) == classes and all(type(count) is int and count >= 0 for count in row)
