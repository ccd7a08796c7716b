"""The nets that go by a name: the layers of each, for the sizes that were given and the shape of a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from aggregators.layers import OUTPUTS, LayerSpec, Shape


def _flat(start: Shape) -> list[LayerSpec]:
    return [LayerSpec("flatten")] if len(start) > 1 else []


def _as_picture(start: Shape) -> list[LayerSpec]:
    return [LayerSpec("reshape", {"shape": (1, *start)})] if len(start) == 2 else []


def _last() -> LayerSpec:
    return LayerSpec("linear", {"units": OUTPUTS})


def _conv(channels: int, stride: int = 1) -> LayerSpec:
    return LayerSpec("conv2d", {"channels": channels, "stride": stride, "bias": False})


def _mlp(sizes: Sequence[int], start: Shape) -> tuple[LayerSpec, ...]:
    hidden = [each for units in sizes for each in (LayerSpec("linear", {"units": units}), LayerSpec("relu"))]
    return (*_flat(start), *hidden, _last())


def _cnn(sizes: Sequence[int], start: Shape) -> tuple[LayerSpec, ...]:
    """A convolution, relu and pooling for each size; then the average of a grid of 4 x 4 to 7 x 7 of large pictures."""
    body = [
        each
        for channels in sizes
        for each in (LayerSpec("conv2d", {"channels": channels}), LayerSpec("relu"), LayerSpec("maxpool"))
    ]
    left = min(start[-2:]) // 2 ** len(sizes)
    grid = [LayerSpec("avgpool", {"size": left // 4})] if left >= 8 else []
    return (*_as_picture(start), *body, *grid, LayerSpec("flatten"), _last())


def _resnet(sizes: Sequence[int], start: Shape) -> tuple[LayerSpec, ...]:
    """A block for each size, of half the sides from the second on: after ResNet-8 of MLPerf Tiny (Banbury et al. 2021).

    Group in place of batch normalisation.
    """
    norm, relu = LayerSpec("groupnorm"), LayerSpec("relu")
    blocks: list[LayerSpec] = []
    for at, channels in enumerate(sizes):
        stride = 2 if at else 1
        inner = (_conv(channels, stride), norm, relu, _conv(channels), norm)
        blocks += [LayerSpec("residual", {}, inner), relu]
    return (*_as_picture(start), _conv(sizes[0]), norm, relu, *blocks, LayerSpec("globalavgpool"), _last())


def _gru(sizes: Sequence[int], start: Shape) -> tuple[LayerSpec, ...]:
    """Layers of gated recurrent units (Cho et al. 2014), the last state of the last one; a row is a sequence of 1."""
    sequence = [LayerSpec("reshape", {"shape": (*start, 1)})] if len(start) == 1 else []
    body = [LayerSpec("gru", {"units": units, "gives": "all"}) for units in sizes[:-1]]
    return (*sequence, *body, LayerSpec("gru", {"units": sizes[-1]}), _last())


class Named(NamedTuple):
    """A net that goes by a name."""

    layers: Callable[[Sequence[int], Shape], tuple[LayerSpec, ...]]
    """From the sizes and the shape of a sample."""
    example: str
    sizes: tuple[int, ...] = ()
    """Where none are given; () if they must be."""


NAMED: Mapping[str, Named] = {
    "mlp": Named(_mlp, "mlp:128,128"),
    "cnn": Named(_cnn, "cnn:16,32"),
    "resnet-s": Named(_resnet, "resnet-s:16,32,64", (16, 32, 64)),
    "gru": Named(_gru, "gru:64"),
}
