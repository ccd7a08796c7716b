"""Writes a trained net as an ONNX file, with what is done to samples before it and to its logits after it.

| value | type, shape | what |
| --- | --- | --- |
| input ``x`` | float64 (n, *input_shape); uint8 for pictures | samples as in the source, not scaled; NaN is missing |
| output ``labels`` | string (n,) | classification: the class |
| output ``probabilities`` | float32 (n, classes) | classification: in the order of the card's classes |
| output ``numbers`` | float64 (n,) | regression: in the unit of the target |

A column of categories is, as in the shards, a number of ``x`` for each of its values: 1 for samples that have it, or 0.
``x`` is float64 as float32 would lose what counts of large numbers, such as times in seconds, before they are scaled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aggregators import onnx_wire
from aggregators.layers import EPSILON, Layer
from aggregators.nets import Net
from aggregators.onnx_wire import Graph

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Weights = Mapping[str, Floats]


def write(net: Net, flat: Floats, card: Mapping[str, Any]) -> bytes:
    """Return the ONNX file of a net; the same bytes for the same net.

    Args:
        net: For samples of the card's ``input_shape``.
        flat: Its weights, (size,).
        card: Of the data, as ``splitters.tables.card`` describes it: ``dtype``, ``columns``, ``scaling``, ``classes``,
            ``target_scale``.
    """
    graph, weights = Graph(), net.named(flat)
    at = _scaled(graph, net, card)
    for layer in net.layers:
        at = _add(graph, layer, weights, at)
    kind = onnx_wire.UINT8 if card["dtype"] == "uint8" else onnx_wire.DOUBLE
    outputs = _labels(graph, at, card["classes"]) if card["classes"] else _numbers(graph, at, card["target_scale"])
    return graph.model([onnx_wire.value("x", kind, net.input_shape)], outputs)


def _scaled(graph: Graph, net: Net, card: Mapping[str, Any]) -> str:
    """Samples as the net wants them: (x - mean) / std, the mean where a number is missing."""
    import numpy as np

    at = graph.add("Cast", "x", to=onnx_wire.DOUBLE) if card["dtype"] == "uint8" else "x"
    if card["columns"]:
        pairs = [pair for column in card["columns"] for pair in _column_scaling(column)]
        mean, std = (np.array(values, np.float64) for values in zip(*pairs, strict=True))
    elif scaling := card["scaling"]:
        form = [-1 if axis == scaling["axis"] else 1 for axis in range(len(net.input_shape) + 1)]
        mean, std = (np.array(scaling[key], np.float64).reshape(form) for key in ("mean", "std"))
    else:
        return graph.add("Cast", at, to=onnx_wire.FLOAT)
    middle = graph.constant(mean, "mean")
    if card["dtype"] != "uint8":
        at = graph.add("Where", graph.add("IsNaN", at), middle, at)
    scaled = graph.add("Div", graph.add("Sub", at, middle), graph.constant(std, "std"))
    return graph.add("Cast", scaled, to=onnx_wire.FLOAT)


def _column_scaling(column: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Mean and std of the numbers that a column is in ``x``."""
    return [(column["mean"], column["std"])] if column["kind"] == "number" else [(0, 1)] * len(column["values"])


def _labels(graph: Graph, logits: str, classes: list[str]) -> list[bytes]:
    best = graph.add("ArgMax", logits, axis=1, keepdims=0)
    graph.add("Gather", graph.texts(classes), best, name="labels")
    graph.add("Softmax", logits, axis=1, name="probabilities")
    shares = onnx_wire.value("probabilities", onnx_wire.FLOAT, [len(classes)])
    return [onnx_wire.value("labels", onnx_wire.STRING, []), shares]


def _numbers(graph: Graph, logits: str, scale: Mapping[str, float]) -> list[bytes]:
    import numpy as np

    row = graph.add("Reshape", logits, graph.constant(np.array([-1], np.int64)))
    wide = graph.add("Cast", row, to=onnx_wire.DOUBLE)
    grown = graph.add("Mul", wide, graph.constant(np.array(scale["std"], np.float64)))
    graph.add("Add", grown, graph.constant(np.array(scale["mean"], np.float64)), name="numbers")
    return [onnx_wire.value("numbers", onnx_wire.DOUBLE, [])]


def _add(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    return ADD[layer.type](graph, layer, weights, at)


def _weights(graph: Graph, layer: Layer, weights: Weights, name: str) -> str:
    return graph.constant(weights[f"{layer.name}.{name}"], f"{layer.name}.{name}")


def _simple(operator: str) -> Callable[[Graph, Layer, Weights, str], str]:
    return lambda graph, layer, weights, at: graph.add(operator, at)


def _pool(operator: str) -> Callable[[Graph, Layer, Weights, str], str]:
    def add(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
        sides = [layer.options["size"]] * 2
        return graph.add(operator, at, kernel_shape=sides, strides=sides)

    return add


def _linear(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    turned = graph.constant(weights[f"{layer.name}.weight"].T, f"{layer.name}.weight")
    at = graph.add("MatMul", at, turned)
    return graph.add("Add", at, _weights(graph, layer, weights, "bias")) if layer.options["bias"] else at


def _conv2d(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    told = layer.options
    given = [_weights(graph, layer, weights, name) for name in ("weight", "bias")[: 1 + told["bias"]]]
    strides, pads = [told["stride"]] * 2, [told["padding"]] * 4
    return graph.add("Conv", at, *given, kernel_shape=[told["kernel"]] * 2, strides=strides, pads=pads)


def _globalavgpool(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    return graph.add("ReduceMean", at, axes=[2, 3] if len(layer.takes) == 3 else [1], keepdims=0)


def _reshape(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    return _shaped(graph, at, layer.gives)


def _shaped(graph: Graph, at: str, shape: tuple[int, ...]) -> str:
    import numpy as np

    return graph.add("Reshape", at, graph.constant(np.array([0, *shape], np.int64)))  # 0: as many samples as there are


def _gelu(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): the operator Gelu is younger than ``OPSET``."""
    import numpy as np

    def number(value: float) -> str:
        return graph.constant(np.array(value, np.float32))

    cube = graph.add("Mul", graph.add("Mul", at, at), at)
    inner = graph.add("Add", at, graph.add("Mul", number(0.044715), cube))
    bent = graph.add("Tanh", graph.add("Mul", number(math.sqrt(2 / math.pi)), inner))
    return graph.add("Mul", graph.add("Mul", number(0.5), at), graph.add("Add", number(1), bent))


def _groupnorm(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    """Instance normalisation of the groups: GroupNormalization is younger than ``OPSET``."""
    import numpy as np

    groups = layer.options["groups"]
    rows = _shaped(graph, at, (groups, -1))
    ones, zeros = (graph.constant(np.full(groups, value, np.float32)) for value in (1, 0))
    at = _shaped(graph, graph.add("InstanceNormalization", rows, ones, zeros, epsilon=EPSILON), layer.takes)
    for operator, name in (("Mul", "weight"), ("Add", "bias")):
        each = weights[f"{layer.name}.{name}"].reshape(-1, *(1 for _ in layer.takes[1:]))
        at = graph.add(operator, at, graph.constant(each, f"{layer.name}.{name}"))
    return at


def _layernorm(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    given = [_weights(graph, layer, weights, name) for name in ("weight", "bias")]
    return graph.add("LayerNormalization", at, *given, axis=-1, epsilon=EPSILON)


def _dropout(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    return at  # it drops while a net learns, and only then


def _embedding(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    return graph.add("Gather", _weights(graph, layer, weights, "weight"), graph.add("Cast", at, to=onnx_wire.INT64))


def _gru(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    """ONNX has the update gate first, where torch has the reset gate, and the steps before the samples."""
    import numpy as np

    def swapped(name: str) -> Floats:
        reset, update, new = np.split(weights[f"{layer.name}.{name}"], 3)
        return np.concatenate([update, reset, new])[None]

    given = [graph.constant(swapped(name), f"{layer.name}.{name}") for name in ("weight_ih", "weight_hh")]
    both = np.concatenate([swapped("bias_ih"), swapped("bias_hh")], axis=1)
    given.append(graph.constant(both, f"{layer.name}.bias"))
    by_step = graph.add("Transpose", at, perm=[1, 0, 2])
    every = layer.options["gives"] == "all"
    told = {"hidden_size": layer.options["units"], "linear_before_reset": 1}
    states = graph.add("GRU", by_step, *given, gives=0 if every else 1, **told)
    # (steps, 1, n, units), or (1, n, units) of the last step.
    at = graph.add("Transpose", states, perm=[2, 0, 1, 3]) if every else graph.add("Transpose", states, perm=[1, 0, 2])
    return _shaped(graph, at, layer.gives)


def _residual(graph: Graph, layer: Layer, weights: Weights, at: str) -> str:
    inner = at
    for each in layer.inner:
        inner = _add(graph, each, weights, inner)
    return graph.add("Add", inner, _add(graph, layer.shortcut, weights, at) if layer.shortcut else at)


ADD: Mapping[str, Callable[[Graph, Layer, Weights, str], str]] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "maxpool": _pool("MaxPool"),
    "avgpool": _pool("AveragePool"),
    "globalavgpool": _globalavgpool,
    "flatten": _reshape,
    "reshape": _reshape,
    "relu": _simple("Relu"),
    "gelu": _gelu,
    "tanh": _simple("Tanh"),
    "groupnorm": _groupnorm,
    "layernorm": _layernorm,
    "dropout": _dropout,
    "embedding": _embedding,
    "gru": _gru,
    "residual": _residual,
}
"""One for each type of ``aggregators.layers.OPTIONS``."""
