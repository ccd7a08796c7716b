"""Nets that together have every layer, each for a shape that it fits."""

from __future__ import annotations

from functools import cache

from aggregators import nets

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
WORDS = 50
"""Rows of the embedding of ``words.toml``."""


@cache
def resolved(name: str) -> nets.Net:
    """One of ``SHAPES``."""
    return nets.resolve(nets.parse(DECLARED.get(name, name)), *SHAPES[name])
