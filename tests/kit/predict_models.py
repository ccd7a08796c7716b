"""A small model of a table whose answers follow from its rows, as the job ``train`` makes one, and such tables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

CLASSES = ("low", "high", "=blue")
WORDS = ("blue", "red", None)
"""The values of the category; None is a missing one."""
ROWS: tuple[tuple[str, str, str], ...] = (
    ("a", "1", "red"), ("b", "9", "red"), ("c", "3", "blue"), ("d", "", "red"), ("e", "8", ""), ("f", "2", "green"),
)  # fmt: skip
"""Name, size and colour: "green" is in no training row."""
ANSWERS = ("low", "high", "=blue", "low", "high", "low")
LONG_ROWS = 800
MEAN, STD = 5.0, 2.0


def card(**changes: Any) -> dict[str, Any]:
    """Of rows with a ``size`` and a ``colour``."""
    found = {
        "format": 1, "source": "table", "task": "classification", "target": "kind", "classes": list(CLASSES),
        "target_scale": None, "input_shape": [1 + len(WORDS)], "dtype": "float32", "outputs": len(CLASSES),
        "columns": [
            {"name": "size", "kind": "number", "mean": MEAN, "std": STD},
            {"name": "colour", "kind": "category", "values": list(WORDS)},
        ],
        "scaling": None, "picture": None, "rows": {}, "class_rows": {}, "shards": 1, "shard_rows": [1], "seed": 0,
        "baseline": None, "notes": [],
    }  # fmt: skip
    return found | changes


def write(folder: Path, told: dict[str, Any] | None = None, weights: Any = None) -> str:
    """A model's folder: what is blue is "=blue", else what is larger than 5.5 is "high"; gives its path.

    Args:
        folder: It is made.
        told: The card.
        weights: Of a single layer, of shape (outputs, width), and its biases.
    """
    np = pytest.importorskip("numpy")
    safetensors = pytest.importorskip("safetensors.numpy")
    from aggregators import nets

    folder.mkdir(parents=True, exist_ok=True)
    told = told or card()
    if weights is None:
        weights = np.array([[-2, 0, 0, 0], [2, 0, 0, 0], [0, 9, 0, 0]]), np.array([0.5, -0.5, -2])
    net = nets.resolve(
        nets.parse('[[layers]]\ntype = "flatten"\n[[layers]]\ntype = "linear"\nunits = "outputs"\n'),
        tuple(told["input_shape"]), told["outputs"],
    )  # fmt: skip
    [matrix, bias] = [parameter.name for parameter in net.parameters]
    named = {matrix: weights[0].astype(np.float32), bias: weights[1].astype(np.float32)}
    (folder / "weights.safetensors").write_bytes(safetensors.save(named))
    (folder / "net.json").write_text(net.to_json())
    (folder / "card.json").write_text(json.dumps(told))
    (folder / "bundle.json").write_text(json.dumps({"job": "predict", "parameters": {}, "requirements": []}))
    return str(folder)


def csv(rows: Iterable[Iterable[str]], head: str = "name,size,colour") -> str:
    """A file of rows."""
    return "".join(f"{line}\n" for line in (head, *(",".join(row) for row in rows)))


def small(folder: Path) -> None:
    """A table with a row for each answer."""
    (folder / "rows.csv").write_text(csv(ROWS))


def check_small(result: Any) -> None:
    assert result == {"row": list(range(len(ROWS))), "label": list(ANSWERS)}


def long(folder: Path) -> None:
    """Many rows, for a chunk each: the model takes no time, chunks do."""
    (folder / "rows.csv").write_text(csv(ROWS[number % len(ROWS)] for number in range(LONG_ROWS)))
