"""Random numbers that depend on nothing but the run's seed and the place in the run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def generator(seed: int, *place: int | str) -> np.random.Generator:
    """Return a generator; another one for each place: a round, a shard and what the numbers are for, say."""
    import numpy as np

    return np.random.default_rng(list(_digest(seed, place)))


def number(seed: int, *place: int | str) -> int:
    """Return a number from 0 to 2**63 - 1 for a library that has random numbers of its own."""
    return int.from_bytes(_digest(seed, place)[:8], "big") >> 1


def _digest(seed: int, place: tuple[int | str, ...]) -> bytes:
    return hashlib.sha256(":".join(map(str, (seed, *place))).encode()).digest()
