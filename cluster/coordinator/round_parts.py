"""The parts of a round, read from the ledger, and their line of the curve."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators import Step
from cluster import errors, keys, wire
from cluster.blobs import Ref
from cluster.coordinator.standing import Join, Open, Standing
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
SHARE = "share"
"""Besides, the time that goes by with nodes with which it does the turn together."""


class Noted(NamedTuple):
    """What a node says of a part that it put into the store of its site."""

    edge: str
    ref: Ref


class Together(NamedTuple):
    """What a node says of doing its shard together with others."""

    size: int
    """How many there were when they began; 1: it was alone."""
    why: str
    """Why it was alone then or in the end; "" if it was not."""


class Got(NamedTuple):
    """The parts of a batch."""

    values: Mapping[int, Any]
    """Shard -> its value, in the order of the shards."""
    odd: Mapping[int, str]
    """Shard -> why its part cannot be used, or why there is none."""
    given_up: Mapping[int, str]
    """Those of them whose chunks were given up."""
    times: Mapping[int, Mapping[str, float]]
    """Shard -> seconds that its node tells, by ``ON_NODE``, and ``SHARE``."""
    sizes_bytes: Mapping[int, int]
    """Shard -> the size of its part."""
    staying: bool
    """Whether slots wait for the next round."""
    chunks: tuple[int, ...]
    """All that were settled, those that were given up among them."""
    stands_for: Mapping[int, tuple[int, ...]] = {}
    """Shard -> the shards whose parts are joined in its value."""
    noted: Mapping[int, Noted] = {}
    """Shard -> where its part lies that its node put into the store of a site."""
    lost_edges: Mapping[str, str] = {}
    """Stores of sites that could not be used -> why."""
    rings: Mapping[int, Together] = {}
    """Shard -> how it was done together with others, where its node was to do that."""

    @property
    def shards(self) -> set[int]:
        """Those whose parts are there, each by itself or joined with others."""
        return {shard for first in self.values for shard in self.stands_for.get(first, (first,))}

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
    reading = _Reading(run, batch, stores, policy)
    for shard, chunk in zip(batch.shards, batch.chunks, strict=True):
        reading.read_shard(shard, chunk)
    for join, chunk in zip(batch.joins, batch.join_chunks, strict=True):
        reading.read_joined(join, chunk)
    good, wrong = bound.rest(reading.values)
    return reading.got(good, wrong)


def noted(run: str, batch: Open, stores: Stores) -> dict[int, Noted]:
    """Shard -> what its node says of a part that it put into the store of its site; reads no other part.

    Raises:
        redis.RedisError: Redis is away.
    """
    entries = stores.ledger.rounds.parts(run, batch.batch)
    found = {}
    for shard, chunk in zip(batch.shards, batch.chunks, strict=True):
        entry = entries.get(chunk, parts.NOTHING)
        if entry[:1] == parts.INLINE:
            with contextlib.suppress(ValueError, TypeError, LookupError):
                if "note" in (told := wire.unpack(entry[1:])):
                    found[shard] = _noted(told["note"])
    return found


class _Reading:
    """What is found of the parts of a batch."""

    def __init__(self, run: str, batch: Open, stores: Stores, policy: RunPolicy) -> None:
        self._stores = stores
        self._scope = keys.parts_scope(run, batch.batch)
        self._policy = policy
        self._batch = batch
        self._entries = stores.ledger.rounds.parts(run, batch.batch)
        self.values: dict[int, Any] = {}
        self._odd: dict[int, str] = {}
        self._given_up: dict[int, str] = {}
        self._times: dict[int, dict[str, float]] = {}
        self._sizes_bytes: dict[int, int] = {}
        self._staying = False
        self._noted: dict[int, Noted] = {}
        self._stands_for: dict[int, tuple[int, ...]] = {}
        self._lost_edges: dict[str, str] = {}
        self._rings: dict[int, Together] = {}

    def read_shard(self, shard: int, chunk: int) -> None:
        """Read the part of a shard, or the note that stands for it."""
        entry = self._entries.get(chunk)
        if entry is None:
            return
        if entry == parts.NOTHING:
            self._given_up[shard] = GIVEN_UP
            return
        try:
            self._sizes_bytes[shard] = parts.size_bytes(entry)
            told = self._load(entry)
            if "note" in told:
                self._noted[shard] = _noted(told["note"])
            else:
                self.values[shard] = told["value"]
            self._times[shard] = _seconds(told["times"])
            self._staying |= told["stays"] is True
            if "ring" in told:
                size, why = told["ring"]
                self._rings[shard] = Together(int(size), str(why))
            if "lost_edge" in told:
                self._lost_edges[str(told["lost_edge"])] = "a node of its site could not write to its store"
        except (errors.BlobError, ValueError, TypeError, LookupError) as error:
            self._odd[shard] = f"its part cannot be read: {error}"

    def read_joined(self, join: Join, chunk: int) -> None:
        """Read the value of several shards, or why there is none."""
        why, entry = "", self._entries.get(chunk)
        if entry is None:
            why = "its site did not join its parts in time"
        elif entry == parts.NOTHING:
            why = "its site gave up joining its parts"
        else:
            try:
                self._take_joined(join, entry)
            except (errors.BlobError, ValueError, TypeError, LookupError) as error:
                why = f"the joined part of its site cannot be read: {error}"
        if why:
            self._odd |= dict.fromkeys(join.shards, why)
            self._lost_edges[join.edge] = why

    def _take_joined(self, join: Join, entry: bytes) -> None:
        told = self._load(entry)
        members, odd = [int(shard) for shard in told["joined"]], {int(at): str(why) for at, why in told["odd"].items()}
        if sorted([*members, *odd]) != sorted(join.shards):
            raise ValueError("it is of other shards than it was asked for")
        self._staying |= told["stays"] is True
        self._odd |= odd
        if "lost_edge" in told:
            self._lost_edges[join.edge] = "the node that joins could not read its store"
        if members:
            first = min(members)
            self.values[first] = told["value"]
            self._stands_for[first] = tuple(members)
            self._sizes_bytes[first] += parts.size_bytes(entry)

    def got(self, good: Mapping[int, Any], wrong: Mapping[int, str]) -> Got:
        """All that was found; ``good`` are the values that can be used, and ``wrong`` says of others why not."""
        asked = {shard for join in self._batch.joins for shard in join.shards}
        odd = {**self._odd, **self._given_up}
        odd |= {shard: "it came after its site began to join" for shard in self._noted if shard not in asked}
        for first, why in wrong.items():
            odd |= dict.fromkeys(self._stands_for.get(first, (first,)), why)
        return Got(
            good, odd, self._given_up, self._times, self._sizes_bytes, self._staying, tuple(self._entries),
            {first: shards for first, shards in self._stands_for.items() if first in good}, self._noted,
            lost_edges=self._lost_edges, rings=self._rings,
        )  # fmt: skip

    def _load(self, entry: bytes) -> Any:
        return parts.load(self._stores.blobs, self._scope, entry, self._policy.max_part_bytes)


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
    used = {shard: arrival for shard, arrival in came.items() if shard in got.shards and shard not in step.rejected}
    on_node = dict.fromkeys(ON_NODE, 0.0)
    push_s = 0.0
    if used:
        last = max(used, key=lambda shard: used[shard].at_ms)
        on_node |= got.times[last]
        push_s = max(0.0, (used[last].at_ms - used[last].claimed_ms) / 1000 - sum(on_node.values()))
    told = {**on_node, "push": push_s, **_join_s(batch, arrivals), **ours}
    late = [shard for shard in batch.shards if shard not in got.sizes_bytes and shard not in got.odd]
    return {
        "round": standing.round,
        "kind": standing.kind,
        "at": round((now_ms - began_ms) / 1000, 3),
        "wall_s": wall_s,
        "deadline_s": None if granted_s is None else round(granted_s, 3),
        "parts": len(got.shards - step.rejected.keys()),
        "late": len(late),
        "late_shards": late,
        "rejected": named({**got.odd, **step.rejected}),
        "up_bytes": sum(got.sizes_bytes.values()),
        "down_bytes": batch.view_bytes * len(batch.shards),
        "times": {
            name: round(seconds, 6) for name, seconds in {"wait": max(0.0, wall_s - sum(told.values())), **told}.items()
        },
        **_shape(batch, got),
        **step.row,
    }


def _join_s(batch: Open, arrivals: Mapping[int, Arrival]) -> dict[str, float]:
    """The seconds of the second half, until its last joined part; nothing where there was none."""
    came = [arrivals[chunk].at_ms for chunk in batch.join_chunks if chunk in arrivals]
    return {"join": max(0.0, (max(came) - batch.joined_ms) / 1000)} if came else {}


def _shape(batch: Open, got: Got) -> dict[str, Any]:
    """How the parts travelled, where anybody asked for a shape."""
    if not batch.shape.name:
        return {}
    site_bytes = sum(each.ref.size_bytes for each in got.noted.values())
    told = {"topology": batch.shape.name, "why": batch.shape.why, "site_bytes": site_bytes}
    return {**told, "alone": named(_alone(batch, got))} if batch.shape.rings else told


def _alone(batch: Open, got: Got) -> dict[int, str]:
    """Shards that were to be done together with others, and were not -> why."""
    nobody = Together(1, "its node is none of the site, or lets no other connect")
    asked = [shard for ring in batch.shape.rings for shard in ring.shards if shard in got.sizes_bytes]
    found = {shard: got.rings.get(shard, nobody) for shard in asked}
    return {shard: each.why for shard, each in found.items() if each.why}


def _noted(told: Any) -> Noted:
    """Read a note; it may come from anywhere."""
    edge, sha256, size_bytes = told["edge"], told["sha256"], told["size_bytes"]
    if not isinstance(edge, str) or not isinstance(sha256, str) or type(size_bytes) is not int or size_bytes < 0:
        raise ValueError("it says wrongly where its part lies")
    return Noted(edge, Ref(sha256, size_bytes))


def _seconds(told: Mapping[str, Any]) -> dict[str, float]:
    """The times of a node; a part may come from anywhere."""
    found = {name: told[name] for name in (*ON_NODE, SHARE) if name in told}
    if not all(isinstance(value, float) and 0 <= value < MOST_S for value in found.values()):
        raise ValueError("its times are no seconds")
    return found
