"""How good a net is, from sums that shards hand in: ``rows``, ``loss_sum``, and

* for classes ``correct``, and on test rows ``confusion``: rows of the class i that were taken for the class j;
* for numbers ``squared``, the sum of squared errors, ``sum`` and ``sum2`` of the targets, all in scaled numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from aggregators.training.state import Card

DIGITS = 6


def add(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the sums of shards, in their order."""
    total: dict[str, Any] = {}
    for sums in found:
        for name, value in sums.items():
            if name == "confusion":
                rows = total.get(name) or [[0] * len(value) for _ in value]
                total[name] = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(rows, value, strict=True)]
            else:
                total[name] = total.get(name, 0) + value
    return total


def of(sums: Mapping[str, Any]) -> float | None:
    """Return one number that says how good the net is, more is better; None without rows.

    It is the accuracy, or minus the root of the mean squared error in scaled numbers. NaN counts as minus infinity.
    """
    if not sums.get("rows"):
        return None
    score = sums["correct"] / sums["rows"] if "correct" in sums else -_root(sums["squared"] / sums["rows"])
    return score if math.isfinite(score) else -math.inf


def error(sums: Mapping[str, Any]) -> float:
    """Return the standard error of ``of``: how far another sample of as many rows would be from it, say.

    Of an accuracy it is sqrt(p(1 - p) / rows) with p = (right + 1) / (rows + 2), after Laplace, so that it is not 0
    where all rows are right; of the root of a mean squared error that is about itself by sqrt(2 rows), as if errors
    were normal. 0 without rows, and where the score is not finite.
    """
    score, rows = of(sums), sums.get("rows", 0)
    if score is None or not math.isfinite(score):
        return 0.0
    if "correct" not in sums:
        return -score / math.sqrt(2 * rows)
    share = (sums["correct"] + 1) / (rows + 2)
    return math.sqrt(share * (1 - share) / rows)


def tell(sums: Mapping[str, Any], card: Card) -> dict[str, Any]:
    """Return figures for people: ``rows``, ``loss``, and

    * for classes ``accuracy``; with a confusion matrix also ``balanced_accuracy``, the mean over the classes that have
      rows of the share that is right (Brodersen et al., 2010), and the matrix;
    * for numbers ``rmse`` in their own unit, and ``r2``, 1 minus the squared errors by those of the mean of these rows.
    """
    rows = sums.get("rows", 0)
    if not rows:
        return {}
    told: dict[str, Any] = {"rows": rows, "loss": _rounded(sums["loss_sum"] / rows)}
    if "correct" in sums:
        told["accuracy"] = _rounded(sums["correct"] / rows)
        if confusion := sums.get("confusion"):
            shares = [row[at] / sum(row) for at, row in enumerate(confusion) if sum(row)]
            told |= {"balanced_accuracy": _rounded(sum(shares) / len(shares)), "confusion": confusion}
        return told
    unit = card["target_scale"]["std"] if card["target_scale"] else 1.0
    told["rmse"] = _significant(_root(sums["squared"] / rows) * unit)
    spread = sums["sum2"] - sums["sum"] ** 2 / rows
    if spread > 1e-12 * abs(sums["sum2"]):  # else all targets are the same
        told["r2"] = _rounded(1 - sums["squared"] / spread)
    return told


def _root(value: float) -> float:
    return math.sqrt(max(value, 0.0)) if math.isfinite(value) else math.inf


def _rounded(value: float) -> float:
    return round(value, DIGITS) if math.isfinite(value) else value


def _significant(value: float) -> float:
    return float(f"{value:.6g}")
