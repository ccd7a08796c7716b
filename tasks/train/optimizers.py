"""The optimizer on a worker, which makes a shard's local steps, and its rate by round."""

from __future__ import annotations

import math

import torch

STEPS_DOWN = (0.5, 0.75)
"""Where the schedule "step" divides the rate by 10: after these shares of the rounds (He et al., "Deep Residual
Learning", 2016, for CIFAR-10)."""


def build(
    name: str, weights: torch.nn.Parameter, *, rate: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return an optimizer of one vector of weights.

    Args:
        name: "sgd", "adam" or "adamw" (Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019).
        weights: Of shape (n,), with a gradient of the same shape that stays the same tensor.
        rate: The first one; see ``set_rate``.
        momentum: Of "sgd"; the first beta of the others, whose second one is 0.999.
        weight_decay: Decoupled from the gradient for "adamw", added to it for the others.
    """
    if name == "sgd":
        return torch.optim.SGD([weights], lr=rate, momentum=momentum, weight_decay=weight_decay, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return kind([weights], lr=rate, betas=(momentum, 0.999), weight_decay=weight_decay, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use this rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def rate_at(schedule: str, rate: float, round_: int, rounds: int) -> float:
    """Return the rate of a round.

    Args:
        schedule: "constant"; "cosine" (Loshchilov & Hutter, "SGDR", 2017, without restarts); "step", see
            ``STEPS_DOWN``.
        rate: Of round 0.
        round_: Counted from 0. A run that turns out longer than planned keeps the last rate.
        rounds: As planned.
    """
    share = min(round_, rounds - 1) / max(rounds, 1)
    if schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * share))
    if schedule == "step":
        return rate * 0.1 ** sum(share >= down for down in STEPS_DOWN)
    return rate
