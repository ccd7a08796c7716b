"""What a net says of samples, with NumPy alone: small nets answer without PyTorch.

The same arithmetic as ``torch.nn`` does in float32, but for the order of sums: logits differ by 1e-5 at most where
they are of the order of 1. Every layer of ``aggregators.layers`` is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aggregators.layers import EPSILON, Layer, shape_text
from aggregators.nets import Net

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Weights = Mapping[str, Floats]

MOST_VALUES = 2**24
"""Numbers that a batch has in the largest layer, where samples are many: 64 MB."""


def logits(net: Net, flat: Floats, samples: npt.NDArray[Any]) -> Floats:
    """(n, *input_shape) -> (n, outputs). Works through the samples in batches, to bound the memory.

    Raises:
        ValueError: Samples or weights are of another shape; an embedding gets a number that it has no row for.
    """
    import numpy as np

    if samples.shape[1:] != net.input_shape:
        raise ValueError(
            f"the net takes samples of the shape {shape_text(net.input_shape)}, and these are "
            f"{shape_text(samples.shape[1:])}"
        )
    weights = net.named(flat)
    batch = max(1, MOST_VALUES // max(_largest(each) for each in net.layers))
    parts = [np.empty((0, net.outputs), np.float32)]
    for at in range(0, len(samples), batch):
        values = np.asarray(samples[at : at + batch], np.float32)
        for layer in net.layers:
            values = _apply(layer, weights, values)
        parts.append(values)
    return np.concatenate(parts)


def softmax(values: Floats) -> Floats:
    """Logits (n, classes) -> probabilities (n, classes)."""
    import numpy as np

    raised = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _largest(layer: Layer) -> int:
    """Numbers that a sample takes in the layer at most."""
    return max(math.prod(layer.takes), math.prod(layer.gives), *(_largest(each) for each in layer.inner))


def _apply(layer: Layer, weights: Weights, values: Floats) -> Floats:
    return APPLY[layer.type](layer, weights, values)


def _linear(layer: Layer, weights: Weights, values: Floats) -> Floats:
    return _plus(values @ weights[f"{layer.name}.weight"].T, layer, weights)


def _plus(values: Floats, layer: Layer, weights: Weights) -> Floats:
    return values + weights[f"{layer.name}.bias"] if layer.options["bias"] else values


def _conv2d(layer: Layer, weights: Weights, values: Floats) -> Floats:
    """Lay windows side by side, and multiply matrices (Chellapilla et al. 2006): some rows of pictures at a time."""
    import numpy as np

    kernel, stride, padding = (layer.options[key] for key in ("kernel", "stride", "padding"))
    channels, height, width = layer.gives
    padded = np.pad(values, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    windows = windows.transpose(0, 2, 3, 1, 4, 5)  # (n, height, width, channels before, kernel, kernel)
    turned = weights[f"{layer.name}.weight"].reshape(channels, -1).T
    made = np.empty((len(values), height, width, channels), np.float32)
    rows = max(1, MOST_VALUES // (len(values) * width * len(turned)))
    for top in range(0, height, rows):
        strip = windows[:, top : top + rows]
        made[:, top : top + rows] = (strip.reshape(-1, len(turned)) @ turned).reshape(*strip.shape[:3], channels)
    return _plus(made, layer, weights).transpose(0, 3, 1, 2)


def _windows(layer: Layer, values: Floats) -> Floats:
    """(n, channels, height, width) -> (n, channels, rows, size, columns, size); the rest at an edge is cut off."""
    size = layer.options["size"]
    channels, height, width = layer.gives
    return values[:, :, : height * size, : width * size].reshape(len(values), channels, height, size, width, size)


def _maxpool(layer: Layer, weights: Weights, values: Floats) -> Floats:
    most: Floats = _windows(layer, values).max(axis=(3, 5))
    return most


def _avgpool(layer: Layer, weights: Weights, values: Floats) -> Floats:
    mean: Floats = _windows(layer, values).mean(axis=(3, 5))
    return mean


def _globalavgpool(layer: Layer, weights: Weights, values: Floats) -> Floats:
    mean: Floats = values.mean(axis=(2, 3) if values.ndim == 4 else 1)
    return mean


def _reshape(layer: Layer, weights: Weights, values: Floats) -> Floats:
    return values.reshape(len(values), *layer.gives)


def _relu(layer: Layer, weights: Weights, values: Floats) -> Floats:
    import numpy as np

    return np.maximum(values, np.float32(0))


def _tanh(layer: Layer, weights: Weights, values: Floats) -> Floats:
    import numpy as np

    return np.tanh(values)


def _gelu(layer: Layer, weights: Weights, values: Floats) -> Floats:
    """The form with tanh (Hendrycks and Gimpel 2016): NumPy has no error function."""
    import numpy as np

    inner = np.float32(math.sqrt(2 / math.pi)) * (values + np.float32(0.044715) * values**3)
    bent: Floats = np.float32(0.5) * values * (1 + np.tanh(inner))
    return bent


def _groupnorm(layer: Layer, weights: Weights, values: Floats) -> Floats:
    grouped = _normal(values.reshape(len(values), layer.options["groups"], -1)).reshape(values.shape)
    each = (-1, *(1 for _ in layer.takes[1:]))
    return grouped * weights[f"{layer.name}.weight"].reshape(each) + weights[f"{layer.name}.bias"].reshape(each)


def _layernorm(layer: Layer, weights: Weights, values: Floats) -> Floats:
    return _normal(values) * weights[f"{layer.name}.weight"] + weights[f"{layer.name}.bias"]


def _normal(values: Floats) -> Floats:
    """Bring the last axis to a mean of 0 and a variance of 1."""
    import numpy as np

    centred = values - values.mean(axis=-1, keepdims=True)
    scaled: Floats = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
    return scaled


def _dropout(layer: Layer, weights: Weights, values: Floats) -> Floats:
    return values  # it drops while a net learns, and only then


def _embedding(layer: Layer, weights: Weights, values: Floats) -> Floats:
    import numpy as np

    rows = layer.options["rows"]
    words = values.astype(np.int64)
    if words.size and not 0 <= words.min() <= words.max() < rows:
        raise ValueError(f"layer {layer.name} has rows 0 to {rows - 1:,}, and gets {words.min():,} to {words.max():,}")
    return weights[f"{layer.name}.weight"][words]


def _gru(layer: Layer, weights: Weights, values: Floats) -> Floats:
    """Cho et al. 2014, with the reset gate behind the product, as torch and cuDNN have it."""
    import numpy as np

    recurrent, bias = weights[f"{layer.name}.weight_hh"].T, weights[f"{layer.name}.bias_hh"]
    given = values @ weights[f"{layer.name}.weight_ih"].T + weights[f"{layer.name}.bias_ih"]
    state = np.zeros((len(values), layer.options["units"]), np.float32)
    states = []
    for step in range(layer.takes[0]):
        reset, update, new = np.split(given[:, step], 3, axis=1)
        by_reset, by_update, by_new = np.split(state @ recurrent + bias, 3, axis=1)
        update = _sigmoid(update + by_update)
        new = np.tanh(new + _sigmoid(reset + by_reset) * by_new)
        state = (1 - update) * new + update * state
        states.append(state)
    return np.stack(states, axis=1) if layer.options["gives"] == "all" else state


def _sigmoid(values: Floats) -> Floats:
    import numpy as np

    half: Floats = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * values))  # exp would overflow
    return half


def _residual(layer: Layer, weights: Weights, values: Floats) -> Floats:
    inner = values
    for each in layer.inner:
        inner = _apply(each, weights, inner)
    return inner + (_apply(layer.shortcut, weights, values) if layer.shortcut else values)


APPLY: Mapping[str, Callable[[Layer, Weights, Floats], Floats]] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "globalavgpool": _globalavgpool,
    "flatten": _reshape,
    "reshape": _reshape,
    "relu": _relu,
    "gelu": _gelu,
    "tanh": _tanh,
    "groupnorm": _groupnorm,
    "layernorm": _layernorm,
    "dropout": _dropout,
    "embedding": _embedding,
    "gru": _gru,
    "residual": _residual,
}
"""One for each type of ``aggregators.layers.OPTIONS``."""
