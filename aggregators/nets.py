"""Nets as data: a name such as ``mlp:128,128`` or a ``model.toml``, and what it is for the shape of some data.

    spec = nets.parse("cnn:16,32")
    net = nets.resolve(spec, (1, 8, 8), 10)
    weights = net.init(seed=7)

The weights of a net are one flat vector of float32, the parameters behind each other in the order of the forward pass,
each in C order. No code travels with a net: layers come from the closed list in ``aggregators/layers.py``, and whoever
builds one (NumPy, torch, ONNX) has its own table of them. A net gives logits; for numbers, the number.

A ``model.toml`` lists the layers, with options as in that table::

    [[layers]]
    type = "linear"
    units = 64

    [[layers]]
    type = "residual"
    layers = [{type = "layernorm"}, {type = "linear", units = 64}, {type = "relu"}]

    [[layers]]
    type = "linear"
    units = "outputs"
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators import layers
from aggregators.layers import MOST_UNITS, OPTIONS, OUTPUTS, Layer, LayerSpec, Parameter, Shape, shape_text, shown
from aggregators.named_nets import NAMED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

MOST_TEXT_BYTES = 64 * 2**10
MOST_JSON_BYTES = 2**20
MOST_LAYERS = 200
"""Those within residual blocks count."""
MOST_SIZES = 24
"""Numbers after the colon of a named net: a block of a residual net is 6 layers."""
MOST_PARAMETERS = 100_000_000
"""400 MB of float32, which the coordinator holds several times."""
MOST_VALUES = 2**24
"""Numbers that one sample may take at any place in the net: 64 MB of float32."""
MOST_DIMENSIONS = 3


class BadNet(ValueError):
    """A net that cannot be, or does not fit the data; the text is for the person who chose it."""


class NetSpec(NamedTuple):
    """A net before the shape of the data is known."""

    name: str
    """"mlp", "cnn", "resnet-s", "gru", or "declared"."""
    sizes: tuple[int, ...] = ()
    """The numbers after the colon of a named net."""
    layers: tuple[LayerSpec, ...] = ()
    """Those of a declared net; a named one makes its own for the data."""


class Net(NamedTuple):
    """A net for samples of one shape."""

    name: str
    input_shape: Shape
    """Of one sample."""
    outputs: int
    layers: tuple[Layer, ...]
    parameters: tuple[Parameter, ...]
    """In the order of the forward pass."""
    size: int
    """Numbers in the flat vector."""

    def init(self, seed: int) -> Floats:
        """Draw the first weights, by the defaults of torch 2 (``reset_parameters`` of each module).

        Linear, convolution and their biases: even between -1/sqrt(fan_in) and 1/sqrt(fan_in), after LeCun et al. 1998
        ("Efficient BackProp"); GRU: the same with its units in place of fan_in; embedding: normal, variance 1; norms:
        1, and 0 for the bias. The same seed gives the same vector.
        """
        import numpy as np

        draw = np.random.default_rng(list(hashlib.sha256(f"{seed}:init".encode()).digest()))
        flat = np.zeros(self.size, np.float32)
        for each in self.parameters:
            part = flat[each.start : each.stop]
            if each.spread:
                part[:] = (2 * draw.random(each.size, np.float32) - 1) * np.float32(each.spread)
            elif each.kind == "embedding":
                part[:] = draw.standard_normal(each.size, np.float32)
            elif each.kind == "norm":
                part[:] = 1
        return flat

    def named(self, flat: Floats) -> dict[str, Floats]:
        """Cut a flat vector into its arrays, without a copy: what is written into them is in ``flat``.

        Raises:
            ValueError: It is not of the form (size,).
        """
        if flat.shape != (self.size,):
            raise ValueError(f"the net has {self.size:,} weights, and the vector is {shape_text(flat.shape)}")
        return {each.name: flat[each.start : each.stop].reshape(each.shape) for each in self.parameters}

    def flat(self, named: Mapping[str, Floats]) -> Floats:
        """Return the flat vector of arrays by name; the opposite of ``named``, as a copy.

        Raises:
            ValueError: One is missing, too many or of another shape; names it.
        """
        import numpy as np

        wanted = {each.name: each.shape for each in self.parameters}
        if odd := sorted(wanted.keys() ^ named.keys()):
            where = "missing" if odd[0] in wanted else "unknown"
            raise ValueError(f"the weights {odd[0]} are {where}; the net has {shown(', '.join(wanted))}")
        flat = np.empty(self.size, np.float32)
        for name, part in self.named(flat).items():
            if named[name].shape != part.shape:
                found = shape_text(named[name].shape)
                raise ValueError(f"the weights {name} are {found}, and the net has {shape_text(part.shape)}")
            part[...] = named[name]
        return flat

    def to_json(self) -> str:
        """Return the net as data, for ``from_json``: every layer with all its options."""
        told = {
            "name": self.name,
            "input_shape": self.input_shape,
            "outputs": self.outputs,
            "layers": [_told(each) for each in self.layers],
        }
        return json.dumps(told, indent=1)

    def table(self) -> str:
        """Return a line for each layer: its name and options, the shape that it gives, its weights."""
        rows = [("layer", "options", "gives", "weights"), ("", "", shape_text(self.input_shape), "")]
        for each in self.layers:
            rows += [_row(part) for part in (each, *each.inner, *filter(None, [each.shortcut]))]
        rows.append(("all", "", "", f"{self.size:,}"))
        wide = [max(len(row[at]) for row in rows) for at in range(4)]
        lines = [f"{a:{wide[0]}}  {b:{wide[1]}}  {c:{wide[2]}}  {d:>{wide[3]}}" for a, b, c, d in rows]
        return "\n".join(line.rstrip() for line in lines)


def parse(text: str) -> NetSpec:
    """Return the net that a name (``mlp:128,128``) or the text of a ``model.toml`` describes.

    Raises:
        BadNet: It describes none; says where and what to do.
    """
    if len(text.encode()) > MOST_TEXT_BYTES:
        raise BadNet(f"a net has {MOST_TEXT_BYTES:,} bytes of text at most, and this has {len(text.encode()):,}")
    if not re.search(r"[\n=\[]", text.strip()):
        return _parse_name(text.strip())
    try:
        declared = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise BadNet(f"model.toml cannot be read as TOML: {why}") from None
    if odd := sorted(set(declared) - {"layers"}):
        raise BadNet(f"model.toml has [[layers]] and nothing else, and this has {shown(odd[0])}")
    return NetSpec("declared", layers=_parse_layers(declared.get("layers")))


def resolve(spec: NetSpec, input_shape: Sequence[int], outputs: int) -> Net:
    """Return the net for samples of ``input_shape`` that gives ``outputs`` numbers for each.

    Args:
        input_shape: Of one sample: (features,), (steps, features), (channels, height, width); (height, width) for a
            named ``cnn`` or ``resnet-s``.
        outputs: Classes; 1 for a number.

    Raises:
        BadNet: A layer does not fit; names it and the shapes.
    """
    start = tuple(input_shape)
    if not 1 <= len(start) <= MOST_DIMENSIONS or min(start) < 1 or math.prod(start) > MOST_VALUES:
        raise BadNet(f"a net takes samples of 1 to {MOST_DIMENSIONS} dimensions, and these are {shape_text(start)}")
    if not 1 <= outputs <= MOST_UNITS:
        raise BadNet(f"a net gives 1 to {MOST_UNITS:,} numbers a sample, and the data has {outputs:,} classes")
    declared = spec.layers if spec.name == "declared" else NAMED[spec.name].layers(spec.sizes, start)
    try:
        built = _resolve_layers(declared, start, outputs)
    except BadNet:
        raise
    except ValueError as why:
        raise BadNet(str(why)) from None
    gives = built[-1].gives if built else start
    if gives != (outputs,):
        raise BadNet(
            f"the last layer gives {shape_text(gives)} and the data needs {outputs:,}; "
            f'end with type = "linear", units = "{OUTPUTS}"'
        )
    placed: list[Parameter] = []
    for each in (parameter for layer in built for parameter in layers.parameters(layer)):
        placed.append(each._replace(start=placed[-1].stop if placed else 0))
    size = placed[-1].stop if placed else 0
    if size > MOST_PARAMETERS:
        most = max(placed, key=lambda each: each.size)
        raise BadNet(
            f"the net has {size:,} weights and {MOST_PARAMETERS:,} are allowed; most are in {most.name} "
            f"({shape_text(most.shape)})"
        )
    return Net(spec.name, start, outputs, built, tuple(placed), size)


def for_data(spec: NetSpec, card: Mapping[str, Any]) -> Net:
    """Return the net for the data that a card describes (``splitters.tables.card``).

    Raises:
        BadNet: It does not fit the data.
    """
    net = resolve(spec, card["input_shape"], card["outputs"])
    if net.layers[0].type == "embedding" and (card["columns"] or card["scaling"]):
        raise BadNet("layer 1.embedding takes the numbers of words, and the numbers of this data are scaled")
    return net


def from_json(text: str) -> Net:
    """Return the net that ``Net.to_json`` wrote.

    Raises:
        BadNet: The text is damaged, or was never such.
    """
    try:
        if len(text) > MOST_JSON_BYTES:
            raise ValueError("it is too long")
        told = json.loads(text)
        name, start, outputs, declared = (told[key] for key in ("name", "input_shape", "outputs", "layers"))
        whole = isinstance(start, list) and all(type(size) is int for size in (*start, outputs))
        if not whole or name not in (*NAMED, "declared"):
            raise ValueError("it is of another form")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadNet(f"the net cannot be read: {shown(str(error))}") from None
    net = resolve(NetSpec("declared", layers=_parse_layers(declared)), start, outputs)
    return net._replace(name=name)


def _parse_name(text: str) -> NetSpec:
    name, colon, sizes = text.partition(":")
    if name not in NAMED:
        raise BadNet(
            f"there is no net {shown(text)}; there are {', '.join(f'{one.example}' for one in NAMED.values())}, and "
            f"files of layers (model.toml)"
        )
    if (colon and not re.fullmatch(r"\d{1,18}(,\d{1,18})*", sizes, re.ASCII)) or not (colon or NAMED[name].sizes):
        raise BadNet(f"{shown(text)} is no net; write it as {NAMED[name].example}")
    chosen = tuple(int(size) for size in sizes.split(",")) if colon else NAMED[name].sizes
    if len(chosen) > MOST_SIZES:
        raise BadNet(f"{name} has {len(chosen):,} layers, and {MOST_SIZES} are allowed; a model.toml may have more")
    if not 1 <= min(chosen) <= max(chosen) <= MOST_UNITS:
        wrong = next(size for size in chosen if not 1 <= size <= MOST_UNITS)
        raise BadNet(f"a layer has 1 to {MOST_UNITS:,} units, and {shown(text)} wants {wrong:,}")
    return NetSpec(name, chosen)


def _parse_layers(declared: object, within: str = "") -> tuple[LayerSpec, ...]:
    where = f"layer {within}" if within else "the net"
    if not isinstance(declared, list) or not declared:
        raise BadNet(f"{where} wants layers: one [[layers]] or more, each with a type")
    count = len(declared) + sum(_length(each.get("layers")) for each in declared if isinstance(each, dict))
    if count > MOST_LAYERS:
        raise BadNet(f"{where} has {count:,} layers, and {MOST_LAYERS} are allowed")
    return tuple(_parse_layer(f"{within}{at}", each, within) for at, each in enumerate(declared, 1))


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 0


def _parse_layer(name: str, declared: object, within: str) -> LayerSpec:
    if not isinstance(declared, dict) or not isinstance(kind := declared.get("type"), str):
        raise BadNet(f'layer {name} wants a type, such as type = "linear"')
    if kind == "batchnorm":
        raise BadNet(f"layer {name}: {layers.NO_BATCHNORM}")
    if kind not in OPTIONS or (within and kind == "residual"):
        known = ", ".join(each for each in OPTIONS if not (within and each == "residual"))
        raise BadNet(f"layer {name} is of the type {shown(kind)}; there are {known}")
    options = {key: value for key, value in declared.items() if key != "type" and value is not None}
    inner = _parse_layers(options.pop("layers", None), f"{name}.residual.") if kind == "residual" else ()
    for key, value in options.items():
        if key not in OPTIONS[kind]:
            known = f"it has {', '.join(OPTIONS[kind])}" if OPTIONS[kind] else "it has none"
            raise BadNet(f"layer {name}.{kind} has no option {shown(key)}; {known}")
        try:
            options[key] = OPTIONS[kind][key].check(value)
        except ValueError as why:
            raise BadNet(f"layer {name}.{kind}: {key} {why}") from None
    for key, setting in OPTIONS[kind].items():
        if setting.needed and key not in options:
            raise BadNet(f"layer {name}.{kind} wants {key}: {setting}")
    return LayerSpec(kind, options, inner)


def _resolve_layers(specs: Sequence[LayerSpec], takes: Shape, outputs: int, within: str = "") -> tuple[Layer, ...]:
    built: list[Layer] = []
    for at, spec in enumerate(specs, 1):
        name = f"{within}{at}.{spec.type}"
        if spec.type == "embedding" and (within or at > 1):
            raise BadNet(f"layer {name} takes the numbers of words from the data, so it must be the first layer")
        options = {key: outputs if value == OUTPUTS else value for key, value in spec.options.items()}
        inner = _resolve_layers(spec.inner, takes, outputs, f"{name}.")
        built.append(layers.resolve(name, spec.type, options, takes, inner))
        takes = built[-1].gives
        if math.prod(takes) > MOST_VALUES:
            raise BadNet(f"layer {name} gives {shape_text(takes)} for each sample: more than {MOST_VALUES:,} numbers")
    return tuple(built)


def _told(layer: Layer) -> dict[str, Any]:
    inner = {"layers": [_told(each) for each in layer.inner]} if layer.type == "residual" else {}
    return {"type": layer.type, **layer.options, **inner}


def _row(layer: Layer) -> tuple[str, str, str, str]:
    options = " ".join(
        f"{key}={shape_text(value) if key == 'shape' else value}" for key, value in layer.options.items()
    )
    size = 0 if layer.type == "residual" else sum(each.size for each in layers.parameters(layer))
    return layer.name, options, shape_text(layer.gives), f"{size:,}" if size else ""
