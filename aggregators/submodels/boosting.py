"""Gradient boosting: the sum of what the leaves of all trees say.

Beside the arrays of ``trees.py``: ``base`` (k) float64, the scores before the first tree; ``values`` (leaves) float64.
Tree t adds to score t % k. Two classes and numbers have k = 1.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregators.submodels import links, masks, trees
from aggregators.submodels.about import BLOCK, About, Common
from aggregators.submodels.archive import only, take


class Boosting(Common):
    """Trees of gradient boosting."""

    def __init__(self, about: About, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Check what came from elsewhere.

        Raises:
            ValueError: It is no such model; says why.
        """
        super().__init__(about)
        only(arrays, *trees.NAMES, "values", "base")
        self.base = take(arrays, "base", "number", links.width(about)).astype(np.float64)
        self.trees = trees.of(arrays, about.width)
        self.values = take(arrays, "values", "number", self.trees.leaves_count).astype(np.float64)
        if len(self.trees.sizes) % len(self.base):
            raise ValueError(f"its {len(self.trees.sizes):,} trees are not as many for each of {len(self.base)} scores")

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the constructor takes."""
        return {**self.trees.arrays(), "base": self.base, "values": self.values}

    @functools.cached_property
    def tables(self) -> masks.Masks | None:
        """The trees as tables, where rows are faster by them."""
        return masks.of(self.trees, len(self.base))

    def scores(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(rows, width) -> (rows, outputs): trees are added in their order, as scikit-learn does it."""
        self.about.check(x)
        total = self._walked(x) if self.tables is None else self._looked_up(x, self.tables)
        return self.about.spread(links.apply(self.about, total))

    def _looked_up(self, x: npt.NDArray[Any], tables: masks.Masks) -> npt.NDArray[np.float64]:
        """(rows, k)."""
        total = np.repeat(self.base[None], len(x), axis=0)
        for rows, leaves in tables.leaves(x):
            said = self.values.take(leaves).reshape(len(leaves), -1, len(self.base))
            for at in range(said.shape[1]):
                total[rows] += said[:, at]
        return total

    def _walked(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(rows, k)."""
        total = np.repeat(self.base[:, None], len(x), axis=1)  # (k, rows)
        for start in range(0, len(x), BLOCK):
            block = np.ascontiguousarray(x[start : start + BLOCK], np.float32)
            for first, leaves in self.trees.leaves(block, group=len(total)):
                place, said = first % len(total), self.values.take(leaves)
                for at in range(0, len(said), len(total)):
                    once = said[at : at + len(total)]
                    total[place : place + len(once), start : start + BLOCK] += once
        return np.ascontiguousarray(total.T)


def of(
    about: About, plain: list[trees.Plain], values: list[npt.NDArray[np.float64]], base: npt.NDArray[np.float64]
) -> Boosting:
    """Make a model of scikit-learn's trees, with what each of their nodes says: (nodes,)."""
    arranged, leaves = trees.arrange(plain, about.width)
    said = np.concatenate([value[at] for value, at in zip(values, leaves, strict=True)])
    return Boosting(about, {**arranged.arrays(), "base": base, "values": said})


KINDS = {"hgb": Boosting}
