"""The leaves that rows arrive at, found without a walk: for trees of few leaves that ask about few columns.

The leaves of a tree are the bits of a word. Each answer rules out the leaves on the other side of its question, and the
answers of a column follow from the place of a row's number among all thresholds of that column. So each column has a
table, with a line for each place and a word for each tree: the leaves that the column's answers leave. The words of a
row from all tables, joined by "and", have one bit: the leaf that the row arrives at.

After QuickScorer (Lucchese et al., SIGIR 2015), whose words keep the leaves to the right of that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aggregators.submodels.about import BLOCK
from aggregators.submodels.trees import Floats, Trees, Wholes

Words = npt.NDArray[Any]
"""Of uint32, or uint64."""

MOST_LEAVES = 64
"""Of a tree: bits of the largest word."""
MOST_COLUMNS = 128
"""With more, rows walk faster."""
MOST_BYTES = 2**26
"""Of all tables."""
TREES = 128
"""Trees whose words stand beside one another."""
PAIRS = 2**16
"""Words that are joined at a time: few enough for a processor's cache, as are ``TREES``."""
MANTISSA, BIAS = 23, 127
"""Of float32: bits below the exponent, and the exponent of 1."""


class Group(NamedTuple):
    """Some trees."""

    tables: list[Words]
    """Of each column: (places, trees)."""
    offset: npt.NDArray[np.int32]
    """(trees): the number of each tree's first leaf, less ``BIAS``."""


class Masks(NamedTuple):
    """Trees as tables."""

    columns: list[int]
    """Those that are asked about."""
    bounds: list[Floats]
    """The thresholds of each, rising: one less than places."""
    groups: list[Group]
    """All trees, in their order."""

    def leaves(self, x: npt.NDArray[Any]) -> Iterator[tuple[slice, Wholes]]:
        """Yield rows, and the leaves where they arrive in the trees of a group, among all leaves: (rows, trees).

        The groups of a row come in their order.

        Args:
            x: (rows, width) float32, or what becomes that.
        """
        for start in range(0, len(x), BLOCK):
            block = np.fmax(x[start : start + BLOCK].astype(np.float32), np.float32(-np.inf))  # NaN goes left
            places = [np.searchsorted(bound, block[:, at]) for at, bound in zip(self.columns, self.bounds, strict=True)]
            for group in self.groups:
                step = max(1, PAIRS // len(group.offset))
                for at in range(0, len(block), step):
                    found = _leaves(group, [place[at : at + step] for place in places])
                    yield slice(start + at, start + at + len(found)), found


def of(trees: Trees, group: int = 1) -> Masks | None:
    """Make tables of trees; None where rows had better walk.

    Args:
        trees: In their order.
        group: So many trees stay together.
    """
    most = int(trees.sizes.max() + 1) // 2
    asking = np.flatnonzero(trees.asks)
    columns, starts = np.unique(np.sort(trees.feature[asking]), return_index=True)
    if most > MOST_LEAVES or not 1 <= len(columns) <= MOST_COLUMNS:
        return None
    word = np.dtype(np.uint32 if most <= 32 else np.uint64)
    held = np.split(asking[np.argsort(trees.feature[asking], kind="stable")], starts[1:])
    bounds = [np.unique(trees.bound[nodes]) for nodes in held]
    if sum(len(bound) + 1 for bound in bounds) * len(trees.sizes) * word.itemsize > MOST_BYTES:
        return None
    below = _below(trees, word)
    tables = [_table(trees, nodes, bound, below) for nodes, bound in zip(held, bounds, strict=True)]
    offset = trees.number[trees.roots] - BIAS
    step = max(1, TREES // group) * group
    groups = [
        Group([np.ascontiguousarray(table[:, at : at + step]) for table in tables], offset[at : at + step])
        for at in range(0, len(offset), step)
    ]
    return Masks(columns.tolist(), bounds, groups)


def _leaves(group: Group, places: list[Wholes]) -> Wholes:
    """(rows, trees): the leaves of rows whose numbers have these places."""
    left = group.tables[0].take(places[0], axis=0)
    words = np.empty_like(left)
    for table, place in zip(group.tables[1:], places[1:], strict=True):
        table.take(place, axis=0, out=words, mode="clip")  # the default mode copies twice
        left &= words
    return (left.astype(np.float32).view(np.int32) >> MANTISSA) + group.offset


def _table(trees: Trees, nodes: Wholes, bound: Floats, below: Words) -> Words:
    """(places, trees): the leaves that the answers of these nodes, which ask about one column, leave."""
    place, child = np.searchsorted(bound, trees.bound[nodes]), trees.child[nodes]
    tree = np.searchsorted(trees.roots, nodes, side="right") - 1
    up, down = (np.repeat(below[trees.roots][None], len(bound) + 1, axis=0) for _ in range(2))
    np.bitwise_and.at(up, (place + 1, tree), ~below[child])  # above a threshold, a row goes right
    np.bitwise_and.at(down, (place, tree), ~below[child + 1])
    table: Words = np.bitwise_and.accumulate(up) & np.bitwise_and.accumulate(down[::-1])[::-1]
    return table


def _below(trees: Trees, word: np.dtype[Any]) -> Words:
    """(nodes): the leaves below each node, or the leaf itself, as bits of its tree's word."""
    bit = (trees.number - np.repeat(trees.number[trees.roots], trees.sizes)).astype(word)
    below: Words = np.where(trees.asks, word.type(0), np.left_shift(word.type(1), bit))
    levels, at = [], trees.roots
    while at.size:
        at = at[trees.asks[at]]
        levels.append(at)
        at = np.concatenate([trees.child[at], trees.child[at] + 1])
    for at in reversed(levels):
        below[at] = below[trees.child[at]] | below[trees.child[at] + 1]
    return below
