"""The closed list of layers that nets are made of: their options, the shapes they give, their parameters.

Shapes are those of one sample, without the batch: (features,), (steps, features) of a sequence, (channels, height,
width) of a picture. Names, defaults and the layout of parameters are those of ``torch.nn`` unless said otherwise.

Batch normalisation is left out. Its running means and variances are no parameters that a gradient moves: they would
have to be averaged beside the parts, and differ from shard to shard, which costs accuracy where shards differ (Hsieh
et al. 2020, "The Non-IID Data Quagmire of Decentralized Machine Learning"). Group normalisation (Wu and He 2018)
looks at one sample alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Shape = tuple[int, ...]

MOST_UNITS = 65_536
MOST_ROWS = 1_000_000
MOST_KERNEL = 31
EPSILON = 1e-5
"""Added to the variance by both normalisations."""
OUTPUTS = "outputs"
"""``units = "outputs"``: as many as the data has classes, or 1 for numbers."""
GROUPS = 8
"""Groups of a group normalisation at most, where the net does not say."""
NO_BATCHNORM = (
    "batchnorm is not offered, as its running means and variances are no weights that rounds could add up; "
    'use type = "groupnorm"'
)


class Setting(NamedTuple):
    """What an option of a layer may be: a whole number, a number, yes or no, one of some words, or a shape."""

    kind: type
    default: Any = None
    """None: the option must be given, or follows from the others."""
    least: float = 1
    most: float = MOST_UNITS
    words: tuple[str, ...] = ()
    """Texts that are allowed beside, or in place of, a number."""
    needed: bool = False

    def check(self, value: object) -> Any:
        """Return the value; raise ValueError that says what is allowed."""
        if isinstance(value, str) and value in self.words:
            return value
        if self.kind is tuple and isinstance(value, list | tuple):
            return tuple(Setting(int).check(each) for each in value)
        wanted = (int, float) if self.kind is float else self.kind
        if self.kind is str or not isinstance(value, wanted) or (isinstance(value, bool) and self.kind is not bool):
            raise ValueError(f"must be {self}, not {shown(value)}")
        if self.kind in (int, float) and not self.least <= value <= self.most:  # type: ignore[operator]
            raise ValueError(f"must be {self}, not {shown(value)}")
        return self.kind(value)

    def __str__(self) -> str:
        kinds = {
            int: f"a whole number from {self.least:,} to {self.most:,}",
            float: f"a number from {self.least} to {self.most}",
            bool: "true or false",
            tuple: "a list of whole numbers",
        }
        return " or ".join([*filter(None, [kinds.get(self.kind)]), *(f'"{word}"' for word in self.words)])


UNITS = Setting(int, needed=True)
YES = Setting(bool, True)
OPTIONS: Mapping[str, Mapping[str, Setting]] = {
    "linear": {"units": UNITS._replace(words=(OUTPUTS,)), "bias": YES},
    "conv2d": {
        "channels": UNITS,
        "kernel": Setting(int, 3, most=MOST_KERNEL),
        "stride": Setting(int, 1, most=MOST_KERNEL),
        "padding": Setting(int, least=0, most=MOST_KERNEL),
        "bias": YES,
    },
    "maxpool": {"size": Setting(int, 2, most=1024)},
    "avgpool": {"size": Setting(int, 2, most=1024)},
    "globalavgpool": {},
    "flatten": {},
    "reshape": {"shape": Setting(tuple, needed=True)},
    "relu": {},
    "gelu": {},
    "tanh": {},
    "groupnorm": {"groups": Setting(int)},
    "layernorm": {},
    "dropout": {"share": Setting(float, 0.5, least=0, most=0.95)},
    "embedding": {"rows": Setting(int, needed=True, most=MOST_ROWS), "units": UNITS},
    "gru": {"units": UNITS, "gives": Setting(str, "last", words=("last", "all"))},
    "residual": {},
}
"""Type -> option -> what it may be. ``residual`` has ``layers`` beside."""


class Parameter(NamedTuple):
    """One array of weights, a stretch of the flat vector."""

    name: str
    """"3.conv2d.weight": the layer's place in the net from 1 on, its type, and what it is there."""
    shape: Shape
    kind: str
    """"conv", "linear", "embedding", "recurrent", "norm" or "bias"."""
    spread: float
    """``init`` draws evenly from -spread to spread; 0: it does not draw so."""
    start: int = 0
    """Of the flat vector."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        return self.start + self.size


class LayerSpec(NamedTuple):
    """A layer as it is declared, before the data is known."""

    type: str
    options: Mapping[str, Any] = {}
    inner: tuple[LayerSpec, ...] = ()
    """The layers of a residual block."""


class Layer(NamedTuple):
    """One layer of a net that fits its data."""

    name: str
    """"3.conv2d": its place from 1 on and its type; "4.residual.2.relu" within a residual block."""
    type: str
    options: Mapping[str, Any]
    """All of them, with the defaults where nothing was said."""
    takes: Shape
    gives: Shape
    inner: tuple[Layer, ...] = ()
    """Of a residual block: what its input goes through."""
    shortcut: Layer | None = None
    """Of a residual block: what brings its input to the shape of its output; None: they are alike."""


def resolve(name: str, kind: str, options: Mapping[str, Any], takes: Shape, inner: tuple[Layer, ...] = ()) -> Layer:
    """Return the layer that gets samples of the shape ``takes``.

    Raises:
        ValueError: It does not fit them; names the layer and the shapes.
    """
    settled = {key: options.get(key, setting.default) for key, setting in OPTIONS[kind].items()}
    if kind == "residual":
        return _residual(name, takes, inner)
    try:
        gives = GIVES[kind](takes, settled)
    except ValueError as why:
        raise ValueError(f"layer {name} gets samples of the shape {shape_text(takes)}, and {why}") from None
    return Layer(name, kind, settled, takes, gives)


def parameters(layer: Layer) -> Iterator[Parameter]:
    """The layer's parameters in the order of the forward pass; for a residual block, the shortcut's are last."""
    if layer.type == "residual":
        for each in (*layer.inner, *filter(None, [layer.shortcut])):
            yield from parameters(each)
        return
    for name, (shape, kind, spread) in WEIGHTS.get(layer.type, _none)(layer).items():
        yield Parameter(f"{layer.name}.{name}", shape, kind, spread)


def shape_text(shape: Sequence[int]) -> str:
    """(3, 32, 32) as "3 x 32 x 32"."""
    return " x ".join(f"{size:,}" for size in shape) if shape else "()"


def shown(value: object) -> str:
    """Return a value of someone's file as a short text. Numbers of thousands of digits do not become decimal."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**18:
        return "a number of 18 digits and more"
    text = type(value).__name__ if isinstance(value, dict | list | tuple) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _same(takes: Shape, options: dict[str, Any]) -> Shape:
    return takes


def _linear(takes: Shape, options: dict[str, Any]) -> Shape:
    if len(takes) > 2:
        raise ValueError('linear wants features in one row; put type = "flatten" or "globalavgpool" before it')
    return (*takes[:-1], options["units"])


def _conv2d(takes: Shape, options: dict[str, Any]) -> Shape:
    _picture("conv2d", takes)
    if options["padding"] is None:
        options["padding"] = options["kernel"] // 2
    grown = [side + 2 * options["padding"] for side in takes[1:]]
    if min(grown) < options["kernel"]:
        raise ValueError(f"its kernel of {options['kernel']} is larger than that")
    return (options["channels"], *((side - options["kernel"]) // options["stride"] + 1 for side in grown))


def _pool(takes: Shape, options: dict[str, Any]) -> Shape:
    _picture("pooling", takes)
    if min(takes[1:]) < options["size"]:
        raise ValueError(f"its window of {options['size']} is larger than that")
    return (takes[0], *(side // options["size"] for side in takes[1:]))


def _globalavgpool(takes: Shape, options: dict[str, Any]) -> Shape:
    if len(takes) == 1:
        raise ValueError("globalavgpool wants a picture or a sequence")
    return takes[:1] if len(takes) > 2 else takes[1:]


def _flatten(takes: Shape, options: dict[str, Any]) -> Shape:
    return (math.prod(takes),)


def _reshape(takes: Shape, options: dict[str, Any]) -> Shape:
    shape: Shape = options["shape"]
    if not 1 <= len(shape) <= 3 or math.prod(shape) != math.prod(takes):
        raise ValueError(f"{math.prod(takes):,} numbers cannot become {shape_text(shape)}")
    return shape


def _groupnorm(takes: Shape, options: dict[str, Any]) -> Shape:
    if len(takes) == 2:
        raise ValueError('groupnorm wants features or a picture; use type = "layernorm"')
    if options["groups"] is None:
        options["groups"] = math.gcd(GROUPS, takes[0])
    if takes[0] % options["groups"]:
        raise ValueError(f"{takes[0]:,} channels cannot be cut into {options['groups']:,} groups")
    return takes


def _layernorm(takes: Shape, options: dict[str, Any]) -> Shape:
    if len(takes) > 2:
        raise ValueError('layernorm wants features or a sequence; use type = "groupnorm" with groups = 1')
    return takes


def _embedding(takes: Shape, options: dict[str, Any]) -> Shape:
    if len(takes) != 1:
        raise ValueError("embedding wants a row of whole numbers, each the number of a word")
    return (*takes, options["units"])


def _gru(takes: Shape, options: dict[str, Any]) -> Shape:
    if len(takes) != 2:
        raise ValueError("gru wants a sequence: steps x features")
    return (takes[0], options["units"]) if options["gives"] == "all" else (options["units"],)


def _picture(what: str, takes: Shape) -> None:
    if len(takes) != 3:
        raise ValueError(f'{what} wants a picture: channels x height x width (type = "reshape" makes one of a row)')


def _residual(name: str, takes: Shape, inner: tuple[Layer, ...]) -> Layer:
    """A residual block (He et al. 2016): input + layers(input).

    Where the layers change the shape, a convolution of kernel 1 brings the input to it, with a stride where the
    picture became smaller, and without bias ("option B" of the paper). Nothing follows the sum: a relu is a layer.
    """
    gives = inner[-1].gives if inner else takes
    if gives == takes:
        return Layer(name, "residual", {}, takes, gives, inner)
    if len(takes) == len(gives) == 3:
        stride = max(1, round(takes[1] / gives[1]))
        one = {"channels": gives[0], "kernel": 1, "stride": stride, "padding": 0, "bias": False}
        shortcut = resolve(f"{name}.shortcut", "conv2d", one, takes)
        if shortcut.gives == gives:
            return Layer(name, "residual", {}, takes, gives, inner, shortcut)
    raise ValueError(
        f"layer {name} gets samples of the shape {shape_text(takes)}, its layers make {shape_text(gives)} of them, and "
        f"the two cannot be added"
    )


GIVES: Mapping[str, Callable[[Shape, dict[str, Any]], Shape]] = {
    **dict.fromkeys(("relu", "gelu", "tanh", "dropout"), _same),
    **dict.fromkeys(("maxpool", "avgpool"), _pool),
    "linear": _linear,
    "conv2d": _conv2d,
    "globalavgpool": _globalavgpool,
    "flatten": _flatten,
    "reshape": _reshape,
    "groupnorm": _groupnorm,
    "layernorm": _layernorm,
    "embedding": _embedding,
    "gru": _gru,
}
"""Type -> the shape that it gives; settles the options that follow from others."""

Weights = dict[str, tuple[Shape, str, float]]
"""Name -> shape, kind, spread."""


def _none(layer: Layer) -> Weights:
    return {}


def _affine(layer: Layer, shape: Shape, kind: str) -> Weights:
    """``weight`` and maybe ``bias`` as torch's linear and convolution have them, with its spread."""
    spread = 1 / math.sqrt(math.prod(shape[1:]))
    bias: Weights = {"bias": (shape[:1], "bias", spread)} if layer.options["bias"] else {}
    return {"weight": (shape, kind, spread), **bias}


def _linear_weights(layer: Layer) -> Weights:
    return _affine(layer, (layer.options["units"], layer.takes[-1]), "linear")


def _conv2d_weights(layer: Layer) -> Weights:
    kernel = layer.options["kernel"]
    return _affine(layer, (layer.options["channels"], layer.takes[0], kernel, kernel), "conv")


def _norm_weights(layer: Layer) -> Weights:
    shape = layer.takes[:1] if layer.type == "groupnorm" else layer.takes[-1:]
    return {"weight": (shape, "norm", 0.0), "bias": (shape, "bias", 0.0)}


def _embedding_weights(layer: Layer) -> Weights:
    return {"weight": ((layer.options["rows"], layer.options["units"]), "embedding", 0.0)}


def _gru_weights(layer: Layer) -> Weights:
    units = layer.options["units"]
    spread, gates = 1 / math.sqrt(units), 3 * units  # reset, update and new, below each other
    return {
        "weight_ih": ((gates, layer.takes[-1]), "recurrent", spread),
        "weight_hh": ((gates, units), "recurrent", spread),
        "bias_ih": ((gates,), "bias", spread),
        "bias_hh": ((gates,), "bias", spread),
    }


WEIGHTS: Mapping[str, Callable[[Layer], Weights]] = {
    "linear": _linear_weights,
    "conv2d": _conv2d_weights,
    "groupnorm": _norm_weights,
    "layernorm": _norm_weights,
    "embedding": _embedding_weights,
    "gru": _gru_weights,
}
