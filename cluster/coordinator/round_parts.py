"""The parts of a round, read from the ledger, and their line of the curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators import Step
from cluster import errors, keys
from cluster.coordinator.standing import Open, Standing
from cluster.ledger import parts
from cluster.ledger.row import RunPolicy
from cluster.rounds import Bound, named
from cluster.stores import Stores

if TYPE_CHECKING:
    from cluster.ledger.records import Arrival

MOST_S = 1e6
GIVEN_UP = "its turn was given up"
ON_NODE = ("fetch", "compute", "encode")
"""The times that a node tells of a turn."""


class Got(NamedTuple):
    """The parts of a batch."""

    values: Mapping[int, Any]
    """Shard -> its value, in the order of the shards."""
    odd: Mapping[int, str]
    """Shard -> why its part cannot be used, or why there is none."""
    given_up: Mapping[int, str]
    """Those of them whose chunks were given up."""
    times: Mapping[int, Mapping[str, float]]
    """Shard -> seconds that its node tells, by ``ON_NODE``."""
    sizes_bytes: Mapping[int, int]
    """Shard -> the size of its part."""
    staying: bool
    """Whether slots wait for the next round."""
    chunks: tuple[int, ...]
    """All that were settled, those that were given up among them."""

    def explained(self, batch: Open, arrivals: Mapping[int, Arrival]) -> Got:
        """The same, with the reasons of what was given up, as far as ``arrivals`` (chunk -> its line) tells them."""
        why = {
            shard: arrivals[chunk].why
            for shard, chunk in zip(batch.shards, batch.chunks, strict=True)
            if chunk in arrivals
        }
        known = {shard: why.get(shard) or told for shard, told in self.given_up.items()}
        return self._replace(odd={**self.odd, **known}, given_up=known)


def read(run: str, bound: Bound, batch: Open, stores: Stores, policy: RunPolicy) -> Got:
    """Read the parts that are there.

    Raises:
        redis.RedisError: Redis is away.
    """
    entries = stores.ledger.rounds.parts(run, batch.batch)
    values, odd, times, sizes, staying = {}, dict[int, str](), {}, {}, False
    given_up = {
        shard: GIVEN_UP
        for shard, chunk in zip(batch.shards, batch.chunks, strict=True)
        if entries.get(chunk) == parts.NOTHING
    }
    for shard, chunk in zip(batch.shards, batch.chunks, strict=True):
        entry = entries.get(chunk)
        if entry is None or entry == parts.NOTHING:
            continue
        try:
            sizes[shard] = parts.size_bytes(entry)
            told = parts.load(stores.blobs, keys.parts_scope(run, batch.batch), entry, policy.max_part_bytes)
            values[shard], times[shard] = told["value"], _seconds(told["times"])
            staying |= told["stays"] is True
        except (errors.BlobError, ValueError, TypeError, LookupError) as error:
            odd[shard] = f"its part cannot be read: {error}"
    good, wrong = bound.rest(values)
    return Got(good, {**odd, **wrong, **given_up}, given_up, times, sizes, staying, tuple(entries))


def row(
    standing: Standing, batch: Open, got: Got, step: Step, arrivals: Mapping[int, Arrival], ours: Mapping[str, float],
    granted_s: float | None, now_ms: int, began_ms: int,
) -> dict[str, Any]:  # fmt: skip
    """A closed round's line of the curve: what holds for all jobs, and what the step tells.

    The times sum up to the round's, from its opening to the next one's. Of the shards it is the last one that came
    whose times count, as the others were waited for meanwhile.

    Args:
        standing: Before the round was closed.
        batch: The one that was closed.
        got: Its parts.
        step: What was made of them.
        arrivals: Chunk -> when its part came.
        ours: Seconds of "read", "step" and "write".
        granted_s: Seconds after which the round was to be closed without the parts that were missing; None: never.
        now_ms: When the round is over, by Redis's clock.
        began_ms: When the run began.
    """
    wall_s = (now_ms - batch.opened_ms) / 1000
    pairs = zip(batch.shards, batch.chunks, strict=True)
    came = {shard: arrivals[chunk] for shard, chunk in pairs if chunk in arrivals}
    used = {shard: arrival for shard, arrival in came.items() if shard in got.values and shard not in step.rejected}
    on_node = dict.fromkeys(ON_NODE, 0.0)
    push_s = 0.0
    if used:
        last = max(used, key=lambda shard: used[shard].at_ms)
        on_node |= got.times[last]
        push_s = max(0.0, (used[last].at_ms - used[last].claimed_ms) / 1000 - sum(on_node.values()))
    told = {**on_node, "push": push_s, **ours}
    late = [shard for shard in batch.shards if shard not in got.sizes_bytes and shard not in got.odd]
    return {
        "round": standing.round,
        "kind": standing.kind,
        "at": round((now_ms - began_ms) / 1000, 3),
        "wall_s": wall_s,
        "deadline_s": None if granted_s is None else round(granted_s, 3),
        "parts": len(got.values) - len(step.rejected),
        "late": len(late),
        "late_shards": late,
        "rejected": named({**got.odd, **step.rejected}),
        "up_bytes": sum(got.sizes_bytes.values()),
        "down_bytes": batch.view_bytes * len(batch.shards),
        "times": {
            name: round(seconds, 6) for name, seconds in {"wait": max(0.0, wall_s - sum(told.values())), **told}.items()
        },
        **step.row,
    }


def _seconds(told: Mapping[str, Any]) -> dict[str, float]:
    """The times of a node; a part may come from anywhere."""
    found = {name: told[name] for name in ON_NODE if name in told}
    if not all(isinstance(value, float) and 0 <= value < MOST_S for value in found.values()):
        raise ValueError("its times are no seconds")
    return found
