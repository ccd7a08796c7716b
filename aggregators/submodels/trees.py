"""Binary trees as arrays, and rows on their way through them.

The nodes of each tree stand in the order of breadth: the root, its two children, theirs. So the children of the k-th
node that asks (counted from 0) are the nodes 1 + 2k and 2 + 2k of the tree, and no index has to be stored or believed:

| array | shape | what |
| --- | --- | --- |
| ``sizes`` | trees | nodes of each tree |
| ``feature`` | nodes | the column that a node asks about; -1 for a leaf |
| ``threshold`` | nodes that ask | a row goes left where its number is <= this one |

Thresholds are float32, rounded down: for a float32 number x, ``x <= t`` is then the same as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aggregators.submodels.archive import take
from aggregators.submodels.spec import MOST_DEPTH

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Wholes = npt.NDArray[np.int64]

NAMES = ("sizes", "feature", "threshold")
MOST_NODES = 2**25
"""Of all trees of a sub-model: 17 bytes each while it answers, 1 GB while it is read."""
LANES = 8192
"""Pairs of a row and a tree that walk side by side: many enough for NumPy, few enough for a processor's cache."""
EVERY = 3
"""Levels after which rows that have arrived are taken out."""


class Plain(NamedTuple):
    """A tree as scikit-learn holds it: arrays over its nodes, in any order, the root first."""

    left: Wholes
    """Of a leaf: negative."""
    right: Wholes
    feature: Wholes
    threshold: npt.NDArray[np.float64]


class Trees:
    """Trees behind one another."""

    def __init__(self, sizes: Wholes, feature: Wholes, threshold: Floats, width: int) -> None:
        """Check the trees and make ready what ``leaves`` needs.

        Raises:
            ValueError: They are none; says why.
        """
        self.sizes, self.feature, self.threshold = sizes, feature.astype(np.int32), threshold
        asks = feature >= 0
        if sizes.size == 0 or sizes.min() < 1 or int(sizes.sum()) != feature.size:
            raise ValueError(f"the sizes of its trees do not add up to its {feature.size:,} nodes")
        if feature.size > MOST_NODES:
            raise ValueError(
                f"its trees have {feature.size:,} nodes; the limit is {MOST_NODES:,}: fewer trees, less depth or more"
                " rows a leaf"
            )
        if feature.min() < -1 or feature.max() >= width:
            raise ValueError(f"a tree asks about a column that rows of {width:,} do not have")
        if int(asks.sum()) != threshold.size:
            raise ValueError(f"{int(asks.sum()):,} nodes ask, and there are {threshold.size:,} thresholds")
        self.roots = np.cumsum(sizes) - sizes
        before = np.concatenate([[0], np.cumsum(asks)])  # nodes that ask before each one
        self.depth = _depth(self.roots, sizes, before)
        own = np.repeat(self.roots, sizes)
        # A leaf is its own child, whatever a row has in its last column: rows that arrived stay.
        self.child = np.where(asks, own + 1 + 2 * (before[:-1] - before[own]), np.arange(feature.size)).astype(np.int32)
        self.bound = np.full(feature.size, np.inf, np.float32)
        self.bound[asks] = threshold
        self.asks = asks
        self.number = (np.arange(feature.size) - before[:-1]).astype(np.int32)
        """Of a leaf, among all leaves."""

    @property
    def leaves_count(self) -> int:
        """Leaves of all trees."""
        return len(self.feature) - len(self.threshold)

    def arrays(self) -> dict[str, Array]:
        """Return them for ``of``."""
        return {"sizes": self.sizes, "feature": self.feature, "threshold": self.threshold}

    def leaves(self, x: Floats, group: int = 1) -> Iterator[tuple[int, Wholes]]:
        """Yield (trees, rows): the leaves that rows arrive at, among all leaves; with the number of the first tree.

        In order of the trees: some at a time, fewer for more rows. Those at a time are within a group, or whole groups.

        Args:
            x: (rows, width) float32, in C order.
            group: So many trees make one.
        """
        together = max(1, LANES // max(1, len(x)))
        step = together // group * group or group  # whole groups, or one in pieces
        for start in range(0, len(self.roots), step):
            roots = self.roots[start : start + step]
            for at in range(0, len(roots), min(step, together)):
                yield start + at, self.number.take(self._walk(x, roots[at : at + min(step, together)]))

    def _walk(self, x: Floats, roots: Wholes) -> Wholes:
        """(trees, rows): the node of the leaf that each row arrives at."""
        rows, width = x.shape
        flat = x.reshape(-1)
        at = np.repeat(roots, rows)
        start = np.tile(np.arange(rows) * width, len(roots))
        arrived = at.copy()
        live = np.arange(at.size)
        for level in range(self.depth):
            if level % EVERY == 0:
                arrived[live] = at
                going = self.asks[at]
                live, at, start = live[going], at[going], start[going]
                if not live.size:
                    break
            right = flat.take(start + self.feature.take(at)) > self.bound.take(at)
            at = np.add(self.child.take(at), right, dtype=np.int64)
        arrived[live] = at
        return arrived.reshape(len(roots), rows)


def of(arrays: Mapping[str, Array], width: int) -> Trees:
    """Make trees of arrays that came from elsewhere.

    Raises:
        ValueError: They are no trees; says why.
    """
    sizes, feature = take(arrays, "sizes", "whole", -1), take(arrays, "feature", "whole", -1)
    threshold = take(arrays, "threshold", "number", -1)
    if threshold.dtype != np.float32:
        raise ValueError("the thresholds of its trees are not float32")
    return Trees(sizes, feature, threshold, width)


def arrange(plain: list[Plain], width: int) -> tuple[Trees, list[Wholes]]:
    """Bring trees into the order of breadth.

    Returns:
        The trees, and for each the numbers of its leaves' nodes in ``plain``, in the order of the leaves here.
    """
    features, thresholds, leaves = [], [], []
    for tree in plain:
        order = _by_breadth(tree)
        asks = tree.left[order] >= 0
        features.append(np.where(asks, tree.feature[order], -1))
        thresholds.append(rounded_down(tree.threshold[order[asks]]))
        leaves.append(order[~asks])
    sizes = np.array([each.size for each in features], np.int64)
    return Trees(sizes, np.concatenate(features).astype(np.int64), np.concatenate(thresholds), width), leaves


def rounded_down(values: npt.NDArray[np.float64]) -> Floats:
    """Return the largest float32 that is not above each value."""
    single = values.astype(np.float32)
    over = single.astype(np.float64) > values
    single[over] = np.nextafter(single[over], np.float32(-np.inf))
    return single


def _by_breadth(tree: Plain) -> Wholes:
    order, level = [], np.zeros(1, np.int64)
    while level.size:
        order.append(level)
        asking = level[tree.left[level] >= 0]
        level = np.stack([tree.left[asking], tree.right[asking]], axis=1).reshape(-1)
    return np.concatenate(order)


def _depth(roots: Wholes, sizes: Wholes, before: Wholes) -> int:
    """Levels of the deepest tree, the root not counted; each next level has two nodes for each of this one that asks.

    Raises:
        ValueError: The levels of a tree do not end where the tree does, or go too deep.
    """
    start, stop, ends = roots, roots + 1, roots + sizes
    for depth in range(MOST_DEPTH + 1):
        asking = before[stop] - before[start]
        if not asking.any():
            if (stop != ends).any():
                break
            return depth
        start, stop = stop, stop + 2 * asking
        if (stop > ends).any():
            break
    else:
        raise ValueError(f"a tree is deeper than {MOST_DEPTH}")
    raise ValueError("the nodes of a tree are no tree: some are nobody's child, or a child is missing")
