"""Nets that together have every layer, each for a shape that it fits."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import strategies as st

from aggregators import layers, nets

DECLARED = {
    "table.toml": """
layers = [
  {type = "linear", units = 24}, {type = "gelu"}, {type = "dropout", share = 0.3},
  {type = "residual", layers = [{type = "layernorm"}, {type = "linear", units = 24, bias = false}, {type = "tanh"}]},
  {type = "groupnorm", groups = 3}, {type = "linear", units = "outputs"},
]
""",
    "pictures.toml": """
layers = [
  {type = "conv2d", channels = 6, kernel = 5, stride = 2, padding = 1}, {type = "relu"},
  {type = "residual", layers = [{type = "conv2d", channels = 9, stride = 3}, {type = "gelu"}]},
  {type = "avgpool"}, {type = "groupnorm"}, {type = "maxpool", size = 1}, {type = "flatten"},
  {type = "linear", units = "outputs"},
]
""",
    "words.toml": """
layers = [
  {type = "embedding", rows = 50, units = 7}, {type = "layernorm"}, {type = "gru", units = 5, gives = "all"},
  {type = "linear", units = 6}, {type = "globalavgpool"}, {type = "reshape", shape = [2, 3]}, {type = "flatten"},
  {type = "linear", units = "outputs"},
]
""",
}
SHAPES: dict[str, tuple[tuple[int, ...], int]] = {
    "mlp:8": ((5,), 3),
    "mlp:16,8": ((3, 4), 1),
    "cnn:4,8": ((8, 8), 10),
    "cnn:6": ((3, 33, 17), 4),
    "resnet-s:8,16": ((3, 9, 8), 5),
    "gru:6": ((7, 3), 4),
    "gru:6,5": ((9,), 1),
    "table.toml": ((11,), 3),
    "pictures.toml": ((2, 27, 29), 4),
    "words.toml": ((12,), 2),
}
"""Name of a net -> shape of a sample, outputs."""
LAST = ({"type": "flatten"}, {"type": "linear", "units": "outputs"})
WORDS = 50
"""Rows of the embedding of ``words.toml``."""


@cache
def resolved(name: str) -> nets.Net:
    """One of ``SHAPES``."""
    return nets.resolve(nets.parse(DECLARED.get(name, name)), *SHAPES[name])


def samples_of(name: str, count: int) -> Any:
    """Samples for one of ``SHAPES``: float32, (count, *shape); whole numbers for an embedding."""
    np = pytest.importorskip("numpy")
    draw = np.random.default_rng(5)
    shape = (count, *SHAPES[name][0])
    if name == "words.toml":
        return draw.integers(0, WORDS, shape).astype(np.float32)
    return draw.standard_normal(shape).astype(np.float32)


def any_layers() -> st.SearchStrategy[dict[str, Any]]:
    """A layer of any type as it is declared, with options of the right kind; it may not fit where it is put."""
    of_kind: dict[type, st.SearchStrategy[Any]] = {
        int: st.integers(1, 9),
        float: st.floats(0, 0.9),
        bool: st.booleans(),
        str: st.sampled_from(["last", "all"]),
        tuple: st.lists(st.integers(1, 9), min_size=1, max_size=3),
    }

    def one(kind: str) -> st.SearchStrategy[dict[str, Any]]:
        options = layers.OPTIONS[kind]
        needed = {key: of_kind[setting.kind] for key, setting in options.items() if setting.needed}
        others = {key: of_kind[setting.kind] for key, setting in options.items() if not setting.needed}
        return st.fixed_dictionaries({"type": st.just(kind), **needed}, optional=others)

    simple = st.sampled_from(sorted(set(layers.OPTIONS) - {"residual"})).flatmap(one)
    blocks = st.fixed_dictionaries({"type": st.just("residual"), "layers": st.lists(simple, min_size=1, max_size=3)})
    return simple | blocks
