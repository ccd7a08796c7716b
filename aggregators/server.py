"""Server optimizers: what the coordinator of a run makes of the average change of a round.

The negative average change stands in for a gradient (Reddi et al., "Adaptive Federated Optimization", 2021); with
``nesterov`` this is the outer step of DiLoCo (Douillard et al., 2023). All are deterministic to the last bit. They
return new arrays, as the step of a round may be done again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SEGMENT = 2**16
"""Values that are worked on at a time: they stay in the processor's cache."""
ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


class Defaults(NamedTuple):
    """Settings of an optimizer where none are given."""

    rate: float
    momentum: float


OPTIMIZERS = {
    "nesterov": Defaults(0.7, 0.9),
    "average": Defaults(1.0, 0.0),
    "sgd": Defaults(1.0, 0.0),
    "adam": Defaults(0.001, ADAM_DECAYS[0]),
}
"""Name -> what the measurements chose (for ``nesterov``), or what the name means."""


class Stale(ValueError):
    """Momentum would be applied to a change that was made from older weights; that diverges."""


class Server(NamedTuple):
    """An optimizer with its settings."""

    optimizer: str
    """One of ``OPTIMIZERS``."""
    rate: float
    momentum: float
    """Of ``nesterov`` and ``sgd``; the first decay of ``adam``; 0 with ``average``."""


class Moments(NamedTuple):
    """What an optimizer remembers; arrays float32 of shape (n,), None before the first step or where not used."""

    first: Floats | None = None
    second: Floats | None = None
    steps: int = 0


def choose(optimizer: str, rate: float | None = None, momentum: float | None = None) -> Server:
    """The optimizer of this name, with its defaults for what is None.

    Raises:
        ValueError: There is none, or a setting that it cannot use.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"the server optimizer is {optimizer!r}; it must be one of {', '.join(OPTIMIZERS)}")
    defaults = OPTIMIZERS[optimizer]
    chosen = Server(
        optimizer, defaults.rate if rate is None else rate, defaults.momentum if momentum is None else momentum
    )
    if not 0 < chosen.rate < math.inf:
        raise ValueError(f"the server's rate is {chosen.rate}; it must be above 0")
    if not 0 <= chosen.momentum < 1:
        raise ValueError(f"the server's momentum is {chosen.momentum}; it must be 0 or more and below 1")
    if optimizer == "average" and (chosen.rate != 1 or chosen.momentum != 0):
        raise ValueError("the server optimizer average has neither rate nor momentum; use sgd to set them")
    return chosen


def step(
    server: Server, weights: Floats, change: Floats, moments: Moments, *, staleness: int = 0
) -> tuple[Floats, Moments]:
    """Apply the average change of a round.

    Args:
        server: The optimizer.
        weights: float32 of shape (n,).
        change: float32 of shape (n,), what training added to the weights; the average over shards.
        moments: What the step before returned; ``Moments()`` at first.
        staleness: Steps since the weights that the change was made from.

    Returns:
        New weights and moments. ``weights``, ``change`` and ``moments`` are not altered.

    Raises:
        Stale: ``staleness`` is above 0, and the optimizer has momentum.
    """
    if staleness > 0 and (server.momentum > 0 or server.optimizer == "adam"):
        raise Stale(
            f"the server optimizer {server.optimizer} with momentum {server.momentum} cannot use a change that is"
            f" {staleness} steps old; use sgd with momentum 0"
        )
    count = moments.steps + 1
    new_weights = np.empty_like(weights)
    first = second = None
    if server.momentum > 0 or server.optimizer == "adam":
        first = np.empty_like(weights)
    if server.optimizer == "adam":
        second = np.empty_like(weights)
    for at in range(0, len(weights), SEGMENT):
        part = slice(at, at + SEGMENT)
        old_first = None if moments.first is None else moments.first[part]
        old_second = None if moments.second is None else moments.second[part]
        move = change[part]
        if first is not None:
            kept = np.float32(server.momentum)
            gained = move * (1 - kept) if server.optimizer == "adam" else move
            first[part] = gained if old_first is None else old_first * kept + gained
        if second is not None and first is not None:
            kept = np.float32(ADAM_DECAYS[1])
            gained = move * move * (1 - kept)
            second[part] = gained if old_second is None else old_second * kept + gained
            move = _adam(first[part], second[part], server.momentum, count)
        elif first is not None:
            move = move + first[part] * np.float32(server.momentum) if server.optimizer == "nesterov" else first[part]
        new_weights[part] = weights[part] + move * np.float32(server.rate)
    return new_weights, Moments(first, second, count)


def _adam(first: Floats, second: Floats, decay: float, count: int) -> Floats:
    unbiased = first / np.float32(1 - decay**count)
    spread = np.sqrt(second / np.float32(1 - ADAM_DECAYS[1] ** count))
    moved: Floats = unbiased / (spread + np.float32(ADAM_EPSILON))
    return moved
