"""Writes an ensemble as one ONNX file: all sub-models, and the combiner behind them.

| value | type, shape | what |
| --- | --- | --- |
| input ``x`` | float32 (rows, width) | rows as ``splitters.tables`` encodes them, no NaN |
| output ``scores`` | float64 (rows, outputs) | probabilities in the order of the card's classes, or the scaled number |

Equal labels to those of NumPy, and scores within 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aggregators import onnx_submodels, onnx_wire
from aggregators.ensemble import combiner as combiners
from aggregators.ensemble.combiner import Combiner
from aggregators.likeliest import TIE
from aggregators.onnx_wire import Graph
from aggregators.submodels import SubModel

MOST_NODES = 4_000_000
"""Of all trees. A node takes 24 bytes of the file and some 200 while ONNX Runtime loads it: 100 MB, 0.8 GB, 5 s."""


class TooLarge(ValueError):
    """The trees are too many for a file; the ensemble answers without one."""


def write(models: Sequence[SubModel], combiner: Combiner) -> bytes:
    """Return the ONNX file of an ensemble; the same bytes for the same sub-models and combiner.

    Args:
        models: In the order of the combiner's, all for rows of the same width.
        combiner: What joins them.

    Raises:
        TooLarge: See ``MOST_NODES``.
        ValueError: The combiner is for other sub-models.
    """
    if len(models) != combiner.models or any(each.outputs != combiner.outputs for each in models):
        raise ValueError(f"the combiner joins {combiner.models} sub-models with {combiner.outputs} outputs, not these")
    nodes = sum(len(each.arrays().get("feature", ())) for each in models)
    if nodes > MOST_NODES:
        raise TooLarge(f"the trees have {nodes:,} nodes; an ONNX file is written for up to {MOST_NODES:,}")
    graph, rows = Graph(), "x"
    order = onnx_submodels.sorting(graph, list(models), rows)
    rows = graph.add("Gather", rows, order, axis=0) if order else rows
    wide = graph.add("Cast", rows, to=onnx_wire.DOUBLE)
    scores = _combine(graph, [onnx_submodels.add(graph, each, rows, wide) for each in models], combiner)
    _put_back(graph, scores, order)
    width = models[0].about.width
    outputs = [onnx_wire.value("scores", onnx_wire.DOUBLE, [combiner.outputs])]
    return graph.model([onnx_wire.value("x", onnx_wire.FLOAT, [width])], outputs)


def _put_back(graph: Graph, scores: str, order: str) -> None:
    """Bring the scores into the order in which the rows came."""
    if not order:
        graph.add("Identity", scores, name="scores")
        return
    places = graph.add("Unsqueeze", order, graph.constant(np.array([1], np.int64)))
    graph.add("ScatterND", scores, places, scores, name="scores")


def _combine(graph: Graph, scores: list[str], combiner: Combiner) -> str:
    """As ``Combiner.combine``."""
    if combiner.coefficients is not None and combiner.intercepts is not None:
        beside = graph.add("Concat", *scores, axis=1)
        product = graph.add("MatMul", beside, graph.constant(np.ascontiguousarray(combiner.coefficients.T)))
        linear = graph.add("Add", product, graph.constant(combiner.intercepts))
        return linear if combiner.outputs == 1 else graph.add("Softmax", linear, axis=1)
    if combiner.weights is not None:
        weighted = [
            graph.add("Mul", each, graph.constant(np.array(float(weight))))
            for each, weight in zip(scores, combiner.weights, strict=True)
        ]
        return graph.add("Sum", *weighted)
    mean = _times(graph, graph.add("Sum", *scores), 1 / combiner.models)
    if combiner.how == "average":
        return mean
    votes = graph.add("Sum", *(_vote(graph, each, combiner.outputs) for each in scores))
    decided = graph.add("Add", votes, _times(graph, mean, combiners.TIE))
    return _times(graph, decided, 1 / (combiner.models + combiners.TIE))


def _vote(graph: Graph, scores: str, outputs: int) -> str:
    """1 for the likeliest class, as ``likeliest`` finds it, and 0 for the others."""
    most = graph.add("ReduceMax", scores, axes=[1], keepdims=1)
    least = graph.add("Sub", most, graph.constant(np.array(TIE)))
    is_most = graph.add("Cast", graph.add("GreaterOrEqual", scores, least), to=onnx_wire.FLOAT)
    best = graph.add("ArgMax", is_most, axis=1, keepdims=1)
    return graph.add("Cast", graph.add("Equal", best, graph.constant(np.arange(outputs)[None])), to=onnx_wire.DOUBLE)


def _times(graph: Graph, at: str, factor: float) -> str:
    return graph.add("Mul", at, graph.constant(np.array(factor)))
