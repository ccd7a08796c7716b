"""Nets of PyTorch, built from their description in ``aggregators.nets``.

Importing this module imports torch: do so where a net is trained, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from aggregators.layers import EPSILON, Layer
from aggregators.nets import Net

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]


class TorchNet(nn.Module):
    """A net that gives the logits of a batch of samples.

    Its parameters, in order, are those of the description, and stretches of one tensor: ``flat``. Optimizers change
    it in place, so it always holds the weights. Don't move the net (``to``, ``half``): build it where it works.
    """

    def __init__(self, net: Net, device: str = "cpu") -> None:
        super().__init__()
        with torch.device("meta"):  # nothing is drawn: the weights come from ``load_flat``
            self.layers = nn.Sequential(*(_module(each) for each in net.layers))
        self.flat = torch.zeros(net.size, device=device)
        owners = [(module, name) for module in self.modules() for name, _ in module.named_parameters(recurse=False)]
        for (module, name), each in zip(owners, net.parameters, strict=True):
            setattr(module, name, nn.Parameter(self.flat[each.start : each.stop].view(each.shape)))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """(batch, *input_shape) -> (batch, outputs)."""
        return self.layers(samples)


def build(net: Net, device: str = "cpu") -> TorchNet:
    """Return the net on a device ("cpu", "cuda:0"), with weights of 0: ``load_flat`` gives it others."""
    return TorchNet(net, device)


def load_flat(module: TorchNet, weights: Floats) -> None:
    """Give the net these weights, float32 of the form (size,), by one copy; optimizers keep their state.

    Raises:
        ValueError: They are of another length.
    """
    if weights.shape != tuple(module.flat.shape):
        raise ValueError(f"the net has {len(module.flat):,} weights, and the vector is {weights.shape}")
    with torch.no_grad():
        # torch warns of arrays that may not be written to.
        module.flat.copy_(torch.from_numpy(weights if weights.flags.writeable else weights.copy()))


def dump_flat(module: TorchNet) -> Floats:
    """Return the weights as float32 of the form (size,). On a CPU without a copy: they change as the net does."""
    weights: Floats = module.flat.detach().cpu().numpy()
    return weights


class Residual(nn.Module):
    """Input + layers(input); ``aggregators.layers`` says when there is a shortcut."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.inner = nn.Sequential(*(_module(each) for each in layer.inner))
        self.shortcut = _module(layer.shortcut) if layer.shortcut else nn.Identity()

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return self.inner(samples) + self.shortcut(samples)


class Recurrent(nn.Module):
    """A GRU that gives all its states, or the last one."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.gru = nn.GRU(layer.takes[1], layer.options["units"], batch_first=True)
        self.all = layer.options["gives"] == "all"

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        states, _ = self.gru(samples)
        return states if self.all else states[:, -1]


class Embedding(nn.Embedding):
    """Takes whole numbers as floating ones too, as shards hold them."""

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return super().forward(samples.long())


class Reshape(nn.Module):
    """Gives each sample another shape."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.shape = layer.gives

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return samples.reshape(len(samples), *self.shape)


class GlobalAverage(nn.Module):
    """The mean over the places of a picture, or the steps of a sequence."""

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return samples.mean((2, 3)) if samples.ndim == 4 else samples.mean(1)


def _conv2d(layer: Layer) -> nn.Module:
    told = layer.options
    return nn.Conv2d(
        layer.takes[0], told["channels"], told["kernel"], told["stride"], told["padding"], bias=told["bias"]
    )


MODULES: Mapping[str, Callable[[Layer], Any]] = {
    "linear": lambda layer: nn.Linear(layer.takes[-1], layer.options["units"], layer.options["bias"]),
    "conv2d": _conv2d,
    "maxpool": lambda layer: nn.MaxPool2d(layer.options["size"]),
    "avgpool": lambda layer: nn.AvgPool2d(layer.options["size"]),
    "globalavgpool": lambda layer: GlobalAverage(),
    "flatten": Reshape,
    "reshape": Reshape,
    "relu": lambda layer: nn.ReLU(),
    "gelu": lambda layer: nn.GELU(approximate="tanh"),
    "tanh": lambda layer: nn.Tanh(),
    "groupnorm": lambda layer: nn.GroupNorm(layer.options["groups"], layer.takes[0], EPSILON),
    "layernorm": lambda layer: nn.LayerNorm(layer.takes[-1], EPSILON),
    "dropout": lambda layer: nn.Dropout(layer.options["share"]),
    "embedding": lambda layer: Embedding(layer.options["rows"], layer.options["units"]),
    "gru": Recurrent,
    "residual": Residual,
}
"""One for each type of ``aggregators.layers.OPTIONS``."""


def _module(layer: Layer) -> nn.Module:
    return MODULES[layer.type](layer)
