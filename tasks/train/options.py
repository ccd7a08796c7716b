"""How a shard is trained in a round."""

from __future__ import annotations

from typing import NamedTuple

FIXED_STEPS = 25
"""Steps of a round that has neither a number of steps nor seconds."""


class Options(NamedTuple):
    """The options of the job that its task takes; see ``train``."""

    net: str
    seed: int
    steps: int
    batch_size: int
    optimizer: str
    lr: float
    momentum: float
    weight_decay: float
    inner_state: str
    schedule: str
    rounds: int
    class_weights: str
    augment: str
    bits: int
    quantize: float
    quantize_when: str
    error_feedback: bool
    joint: str
