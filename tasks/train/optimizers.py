"""The optimizer on a worker, which makes a shard's local steps, and its rate by round.

These are torch's own, by their functions: its classes would import the compiler at the first step, which takes 1.5 s
and 80 MB in each slot.
"""

from __future__ import annotations

import math

import torch
from torch.optim import adam, adamw, sgd

STEPS_DOWN = (0.5, 0.75)
"""Where the schedule "step" divides the rate by 10: after these shares of the rounds (He et al., "Deep Residual
Learning", 2016, for CIFAR-10)."""
SECOND_BETA = 0.999
EPSILON = 1e-8
NAMES = ("adamw", "adam", "sgd")


class Optimizer:
    """Changes one vector of weights, in place, by a vector of their gradients; remembers its moments."""

    def __init__(
        self, name: str, weights: torch.Tensor, gradients: torch.Tensor, *, momentum: float, weight_decay: float
    ) -> None:  # fmt: skip
        """Begin without moments.

        Args:
            name: One of ``NAMES``: "sgd"; "adam" (Kingma & Ba, "Adam", 2015); "adamw" (Loshchilov & Hutter,
                "Decoupled Weight Decay Regularization", 2019).
            weights: float32 of shape (n,).
            gradients: Of the same shape; always the same tensor.
            momentum: Of "sgd"; the first beta of the others, whose second one is 0.999.
            weight_decay: Decoupled from the gradients for "adamw", added to them for the others.

        Raises:
            ValueError: There is no optimizer of that name.
        """
        if name not in NAMES:
            raise ValueError(f"the optimizer is {name!r}; it must be one of {', '.join(NAMES)}")
        self._name = name
        self._weights, self._gradients = [weights], [gradients]
        self._momentum, self._weight_decay = momentum, weight_decay
        if name == "sgd":
            self._moments: list[torch.Tensor | None] = [None]
        else:
            self._first, self._second = [torch.zeros_like(weights)], [torch.zeros_like(weights)]
            self._steps = [torch.zeros((), device=weights.device)]

    @property
    def moments(self) -> list[torch.Tensor]:
        """What it remembers from step to step, to be read and written: float32."""
        if self._name == "sgd":  # a moment of 0 is as good as none
            self._moments = [torch.zeros_like(self._weights[0]) if each is None else each for each in self._moments]
            return [each for each in self._moments if each is not None]
        return [*self._first, *self._second, *self._steps]

    def step(self, rate: float) -> None:
        """Make one step."""
        if self._name == "sgd":
            sgd.sgd(
                self._weights, self._gradients, self._moments, fused=True, weight_decay=self._weight_decay,
                momentum=self._momentum, lr=rate, dampening=0.0, nesterov=False, maximize=False,
            )  # fmt: skip
            return
        function = adamw.adamw if self._name == "adamw" else adam.adam
        function(
            self._weights, self._gradients, self._first, self._second, [], self._steps, fused=True, amsgrad=False,
            beta1=self._momentum, beta2=SECOND_BETA, lr=rate, weight_decay=self._weight_decay, eps=EPSILON,
            maximize=False,
        )  # fmt: skip


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
