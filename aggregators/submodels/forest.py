"""Forests and single trees: the mean of what the leaves say.

Beside the arrays of ``trees.py``: ``values`` (distinct, columns) float64, what leaves say, each only once, as most
leaves are of one class; ``leaf`` (leaves), which of them a leaf says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregators.submodels import trees
from aggregators.submodels.about import BLOCK, About, Common
from aggregators.submodels.archive import only, take

SUM = 1e-9
"""How far the shares of a leaf may be from 1 in all."""


class Forest(Common):
    """A forest, or one tree."""

    def __init__(self, about: About, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Check what came from elsewhere.

        Raises:
            ValueError: It is no forest; says why.
        """
        super().__init__(about)
        only(arrays, *trees.NAMES, "values", "leaf")
        self.trees = trees.of(arrays, about.width)
        self.values = take(arrays, "values", "number", -1, about.columns).astype(np.float64)
        self.leaf = take(arrays, "leaf", "whole", self.trees.leaves_count)
        if self.leaf.min() < 0 or self.leaf.max() >= len(self.values):
            raise ValueError(f"a leaf says none of its {len(self.values):,} values")
        if about.seen is not None and ((self.values < 0).any() or (abs(self.values.sum(axis=1) - 1) > SUM).any()):
            raise ValueError("the classes of a leaf are no shares that sum to 1")

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the constructor takes."""
        return {**self.trees.arrays(), "values": self.values, "leaf": self.leaf}

    def scores(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(rows, width) -> (rows, outputs): trees are added in their order, as scikit-learn does it."""
        self.about.check(x)
        total = np.zeros((len(x), self.about.columns))
        for start in range(0, len(x), BLOCK):
            block = np.ascontiguousarray(x[start : start + BLOCK], np.float32)
            for _, leaves in self.trees.leaves(block):
                for said in self.leaf.take(leaves):
                    total[start : start + BLOCK] += self.values.take(said, axis=0)
        return self.about.spread(total / len(self.trees.sizes))


def distinct(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(leaves, columns) -> the rows that differ, and which of them each leaf has."""
    known: dict[bytes, int] = {}
    which = np.array([known.setdefault(row.tobytes(), len(known)) for row in values + 0.0], np.int64)  # -0 is 0
    rows = np.frombuffer(b"".join(known), np.float64)
    return rows.reshape(len(known), values.shape[1]), which


def of(about: About, plain: list[trees.Plain], values: list[npt.NDArray[np.float64]]) -> Forest:
    """Make a forest of scikit-learn's trees, with what each of their nodes says: (nodes, columns)."""
    arranged, leaves = trees.arrange(plain, about.width)
    said = np.concatenate([value[at] for value, at in zip(values, leaves, strict=True)])
    rows, leaf = distinct(said)
    return Forest(about, {**arranged.arrays(), "values": rows, "leaf": leaf})


KINDS = {"rf": Forest, "et": Forest, "tree": Forest}
