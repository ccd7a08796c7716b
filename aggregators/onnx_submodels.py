"""Adds sub-models to an ONNX graph, by their arrays: trees as ``TreeEnsembleRegressor``, layers as matrix products.

Sums of trees are float32 where that is exact enough, else float64; all behind them is float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aggregators import onnx_wire
from aggregators.onnx_wire import Graph
from aggregators.submodels import SubModel, links
from aggregators.submodels.about import About
from aggregators.submodels.boosting import Boosting
from aggregators.submodels.dense import Dense
from aggregators.submodels.forest import Forest
from aggregators.submodels.trees import Trees

Wholes = npt.NDArray[np.int64]

FEW_TREES = 500
"""Up to so many trees, shares of classes are summed up in float32: 1e-6 holds."""
SORTED_BITS = 24
"""Bits of the number that rows are sorted by, which is float32."""
SORTED_TREES = 8
"""Trees whose first questions sort the rows, where trees are small."""


def add(graph: Graph, model: SubModel, rows: str, wide: str) -> str:
    """Add a sub-model and return the name of its scores, float64 (rows, outputs).

    Args:
        graph: Gets the nodes.
        model: One of ``submodels.unpack``.
        rows: Name of the encoded rows, float32.
        wide: Name of the same rows in float64.
    """
    if isinstance(model, Forest):
        return _forest(graph, model, rows, wide)
    if isinstance(model, Boosting):
        total = _sum(graph, model.trees, _one_each(model), len(model.base), wide, in_float64=True)
        return _linked(graph, model.about, graph.add("Add", total, graph.constant(model.base)), wide)
    if isinstance(model, Dense):
        return _linked(graph, model.about, _layers(graph, model, wide), wide)
    raise TypeError(f"{type(model).__name__} is no sub-model that an ONNX file can hold")


def sorting(graph: Graph, models: list[SubModel], rows: str) -> str:
    """Add what sorts rows so that neighbours take the same way through trees; return the name of their order, or "".

    An engine that takes 128 rows at a time through each tree (as ONNX Runtime does) finds the same nodes in the
    processor's cache then: 1.8 to 3 times as fast for 20,000 rows.
    """
    held = [model for model in models if isinstance(model, Forest | Boosting) and model.trees.depth]
    if not held:
        return ""
    largest = max(held, key=lambda model: (isinstance(model, Forest), len(model.trees.feature)))
    few = 1 if isinstance(largest, Forest) else min(SORTED_TREES, len(largest.trees.sizes))
    picked = np.unique(np.linspace(0, len(largest.trees.sizes) - 1, few).astype(np.int64))
    key = _path(graph, largest.trees, picked, rows)
    count = graph.add("Shape", rows, start=0, end=1)
    flat = graph.add("Reshape", key, graph.constant(np.array([-1], np.int64)))
    return graph.add("TopK", flat, count, gives=1, largest=0)


def _forest(graph: Graph, model: Forest, rows: str, wide: str) -> str:
    """The shares of a leaf go to the classes of the card at once."""
    says, seen = model.values, model.about.seen
    per_leaf = (says != 0).sum(axis=1) if seen is not None else np.ones(len(says), np.int64)
    entry, column = np.nonzero(says) if seen is not None else (np.arange(len(says)), np.zeros(len(says), np.int64))
    first = np.cumsum(per_leaf) - per_leaf
    many = per_leaf[model.leaf]
    leaf = np.repeat(np.arange(len(model.leaf)), many)
    picked = np.repeat(first[model.leaf] - (np.cumsum(many) - many), many) + np.arange(many.sum())
    target = np.array(seen if seen is not None else [0])[column[picked]]
    told = (leaf, target, says[entry[picked], column[picked]])
    in_float64 = seen is None or len(model.trees.sizes) > FEW_TREES
    total = _sum(graph, model.trees, told, model.outputs, wide if in_float64 else rows, in_float64)
    return graph.add("Div", total, graph.constant(np.array(float(len(model.trees.sizes)))))


def _one_each(model: Boosting) -> tuple[Wholes, Wholes, npt.NDArray[np.float64]]:
    tree = np.repeat(np.arange(len(model.trees.sizes)), model.trees.sizes)[~model.trees.asks]
    return np.arange(len(tree)), tree % len(model.base), model.values


def _sum(
    graph: Graph, trees: Trees, told: tuple[Wholes, Wholes, npt.NDArray[np.float64]], targets: int, rows: str,
    in_float64: bool,
) -> str:  # fmt: skip
    """Add trees and return the name of their sums, float64 (rows, targets).

    Args:
        graph: Gets the nodes.
        trees: Which.
        told: Leaves, counted over all trees; the targets that they add to; what they add. A leaf may be there often.
        targets: How many there are.
        rows: Name of the rows, float64 or float32.
        in_float64: Which of them, and which the sums are made in.
    """
    leaf, target, weight = told
    total = graph.add("TreeEnsembleRegressor", rows, **_told(trees, leaf, target, weight, targets, in_float64))
    return graph.add("Cast", total, to=onnx_wire.DOUBLE)


def _told(
    trees: Trees, leaf: Wholes, target: Wholes, weight: npt.NDArray[np.float64], targets: int, in_float64: bool
) -> dict[str, Any]:
    tree = np.repeat(np.arange(len(trees.sizes)), trees.sizes)
    root = trees.roots[tree]
    node = np.arange(len(tree)) - root
    left = np.where(trees.asks, trees.child - root, 0)
    at = np.flatnonzero(~trees.asks)[leaf]
    bound = np.where(trees.asks, trees.bound, np.float32(0))
    numbers: dict[str, Any] = (
        {"nodes_values_as_tensor": bound.astype(np.float64), "target_weights_as_tensor": weight}
        if in_float64
        else {"nodes_values": bound, "target_weights": weight.astype(np.float32)}
    )
    return {
        "domain": onnx_wire.TREES, "n_targets": targets, "aggregate_function": "SUM", "post_transform": "NONE",
        "nodes_treeids": tree, "nodes_nodeids": node, "nodes_featureids": np.maximum(trees.feature, 0),
        "nodes_modes": [b"BRANCH_LEQ" if asks else b"LEAF" for asks in trees.asks.tolist()],
        "nodes_truenodeids": left, "nodes_falsenodeids": np.where(trees.asks, left + 1, 0),
        "target_treeids": tree[at], "target_nodeids": node[at], "target_ids": target, **numbers,
    }  # fmt: skip


def _path(graph: Graph, trees: Trees, picked: Wholes, rows: str) -> str:
    """Add the first levels of some trees; their sum has a bit for each question, the first tree's root the highest."""
    levels = SORTED_BITS // len(picked)
    parts, weights = [], []
    for rank, tree in enumerate(picked.tolist()):
        feature, bound, path, depth = _first_levels(trees, tree, levels)
        parts.append((feature, bound))
        shift = SORTED_BITS - levels * (rank + 1)
        weights.append(path[feature < 0] << (levels - depth[feature < 0] + shift))
    feature, bound = (np.concatenate(each) for each in zip(*parts, strict=True))
    sizes = np.array([len(each) for each, _ in parts], np.int64)
    weight = np.concatenate(weights).astype(np.float64)
    short = Trees(sizes, feature, bound[feature >= 0], int(trees.feature.max()) + 1)
    told = _told(short, np.arange(len(weight)), np.zeros(len(weight), np.int64), weight, 1, in_float64=False)
    return graph.add("TreeEnsembleRegressor", rows, **told)


def _first_levels(trees: Trees, tree: int, levels: int) -> tuple[Wholes, npt.NDArray[np.float32], Wholes, Wholes]:
    """Feature, bound, way from the root as bits, and level of the nodes of a tree's first levels, by breadth."""
    at = trees.roots[tree : tree + 1]
    path, found = np.zeros(1, np.int64), []
    for level in range(levels + 1):
        asks = trees.asks[at] & (level < levels)
        found.append((np.where(asks, trees.feature[at], -1), trees.bound[at], path, np.full(len(at), level)))
        at = np.stack([trees.child[at[asks]], trees.child[at[asks]] + 1], axis=1).reshape(-1)
        path = np.stack([path[asks] * 2, path[asks] * 2 + 1], axis=1).reshape(-1)
    feature, bound, ways, depth = (np.concatenate(each) for each in zip(*found, strict=True))
    return feature, bound, ways, depth


def _layers(graph: Graph, model: Dense, at: str) -> str:
    for number, (weights, bias) in enumerate(model.layers):
        at = graph.add("Relu", at) if number else at
        at = graph.add("Add", graph.add("MatMul", at, graph.constant(weights)), graph.constant(bias))
    return at


def _linked(graph: Graph, about: About, at: str, wide: str) -> str:
    """As ``links.apply`` and ``About.spread``."""
    if about.seen is None:
        return at
    if about.columns == 1:
        return _always(graph, about, wide)
    if links.width(about) == 1:
        second = graph.add("Sigmoid", at)
        first = graph.add("Sub", graph.constant(np.array(1.0)), second)
        at = graph.add("Concat", first, second, axis=1)
    else:
        at = graph.add("Softmax", at, axis=1)
    if about.columns == about.outputs:
        return at
    return graph.add("MatMul", at, graph.constant(np.eye(about.outputs)[list(about.seen)]))


def _always(graph: Graph, about: About, wide: str) -> str:
    """The only class that it saw, for each row."""
    sure = graph.constant(np.eye(about.outputs)[list(about.seen or ())])
    count = graph.add("Shape", wide, start=0, end=1)
    return graph.add("Expand", sure, graph.add("Concat", count, graph.constant(np.ones(1, np.int64)), axis=0))
