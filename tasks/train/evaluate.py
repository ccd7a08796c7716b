"""How good a net is on some rows, as sums that can be added up over shards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tasks.train.shards import Rows

BATCH_ROWS = 1024
"""Rows that go through the net at a time; training never takes so many."""


def evaluate(
    predict: Callable[[torch.Tensor], torch.Tensor], rows: Rows, classes: int, confusion: bool = False
) -> dict[str, Any]:
    """Evaluate a net.

    Args:
        predict: Outputs of the net for some of ``rows.X``: logits, or scaled numbers.
        rows: There may be none.
        classes: How many; 0 where the target is a number.
        confusion: Count each class for each class.

    Returns:
        ``rows`` and ``loss_sum``. For classes ``correct``; with ``confusion`` also ``confusion``, rows of the class i
        that were taken for the class j. For numbers ``squared``, the sum of squared errors, ``sum`` and ``sum2``, the
        sums of the targets and of their squares: all in scaled numbers.
    """
    loss_sum, outputs = 0.0, []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH_ROWS):
            y = rows.y[start : start + BATCH_ROWS]
            given = predict(rows.X[start : start + BATCH_ROWS])
            if classes:
                loss_sum += float(torch.nn.functional.cross_entropy(given, y, reduction="sum"))
                outputs.append(given.argmax(1))
            else:
                outputs.append(given.reshape(y.shape))
    found = torch.cat(outputs) if outputs else rows.y
    return _of_classes(found, rows, classes, loss_sum, confusion) if classes else _of_numbers(found, rows)


def _of_classes(
    found: torch.Tensor, rows: Rows, classes: int, loss_sum: float, confusion: bool
) -> dict[str, Any]:  # fmt: skip
    told: dict[str, Any] = {"rows": len(rows), "loss_sum": loss_sum, "correct": int((found == rows.y).sum())}
    if confusion:
        pairs = torch.bincount(rows.y * classes + found, minlength=classes * classes)
        told["confusion"] = pairs.reshape(classes, classes).tolist()
    return told


def _of_numbers(found: torch.Tensor, rows: Rows) -> dict[str, Any]:
    y = rows.y.double()
    squared = float(((found.double() - y) ** 2).sum())
    return {
        "rows": len(rows), "loss_sum": squared, "squared": squared, "sum": float(y.sum()), "sum2": float((y**2).sum()),
    }  # fmt: skip
