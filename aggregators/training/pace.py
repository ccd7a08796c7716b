"""How many seconds shards are to work for in a round, where that is left to the coordinator."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from aggregators import Closed

FIRST_S = 1.0
"""Seconds of the first rounds."""
STEPS = 25
"""Steps of the median node in a round. With 25 the measurements lost nothing beside a single process; with 100 they
lost 1.5 points."""
WORK_SHARE = 9
"""Times the transfer: so it takes a tenth of the round at most."""
LEAST_S, MOST_S = 0.5, 120.0
ROUNDS = 5
"""Rounds after which seconds are chosen again."""


def measure(closed: Closed) -> tuple[float, float] | None:
    """Return the seconds a step of the round's median shard, and the median shard's seconds beside its work.

    Shards that a process did for the first time do not count, as it imported torch and read the shard, which takes
    seconds. None without others. A joined part counts as one shard, with the mean of its members' steps.
    """
    if closed.seconds is None:
        return None
    steady = {
        shard: part["steps"] / len(part.get("members", (shard,)))
        for shard, part in closed.parts.items()
        if part["steps"] and not part["fresh"]
    }
    if not steady:
        return None
    beside = [max(0.0, closed.node_seconds[shard] - closed.seconds) for shard in steady if shard in closed.node_seconds]
    step_s = closed.seconds / statistics.median(steady.values())
    return step_s, statistics.median(beside) if beside else 0.0


def choose(paces: Sequence[tuple[float, float]]) -> float:
    """Return the seconds of a round, by the medians over some rounds."""
    step_s, beside_s = (statistics.median(column) for column in zip(*paces, strict=True))
    wanted_s: float = max(LEAST_S, STEPS * step_s, WORK_SHARE * beside_s)
    return round(min(MOST_S, wanted_s), 3)
