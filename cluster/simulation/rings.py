"""Rings of a simulated run: the terminals of a site make each step of their shards together.

A step takes as long as that of the slowest, and an all-reduce over their own links. What it does to the weights is
the mean of the gradients of a batch of each shard: one turn, of the job's own task, on the rows of all these shards and
with batches as many times as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cluster import wire
from cluster.rounds import Batch
from cluster.simulation.network import Link
from cluster.topology import all_reduce_s
from splitters import Chunk

if TYPE_CHECKING:
    from simpy import Environment, Event

    from cluster.simulation.engine import Run

JOIN_S = 5.0
"""Seconds that those who are there wait for the others."""


class Member(NamedTuple):
    """A terminal that has come to a meeting."""

    shard: int
    step_s: float
    link: Link


class Ring:
    """Members that make their steps together."""

    MEMBER_BYTES: ClassVar[int] = 256
    """What each but the first hands in: how it evaluates the view."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = sorted(members, key=lambda member: member.shard)
        self.shards = tuple(member.shard for member in self._members)
        self.step_s = 0.0
        """Of a step with its all-reduce; known once ``measure`` was called."""

    def measure(self, parameters: int) -> None:
        """Find out how long a step takes with a net of so many parameters."""
        bytes_s = min(min(member.link.up_bytes_s, member.link.down_bytes_s) for member in self._members)
        latency_s = 2 * max(member.link.latency_s for member in self._members)
        reduce_s = all_reduce_s(len(self._members), 4 * parameters, bytes_s, latency_s)
        self.step_s = max(member.step_s for member in self._members) + reduce_s

    def work(self, run: Run, batch: Batch, steps: int | None) -> bytes:
        """Make the steps; gives the packed part of all members."""
        known, seats = run.course.bound, len(self.shards)
        bound = known._replace(options={**known.options, "batch_size": seats * known.options["batch_size"]})
        kept = run.together.setdefault(self.shards, {})
        read = partial(together, [run.shards[shard] for shard in self.shards])
        value = wire.unpack(run.do(batch, self.shards[0], read, kept, steps, bound))
        return wire.pack({**value, "steps": seats * value["steps"], "members": list(self.shards), "refused": {}})


class Meeting:
    """Where the terminals of a site meet in a round."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._members: list[Member] = []
        self._parameters = 0
        self._formed: Event = env.event()

    def join(self, member: Member, at_work: int, parameters: int) -> Event:
        """Come; gives an event whose value is the ring.

        Args:
            member: Who comes.
            at_work: How many of the site have claimed a turn of this round.
            parameters: Of the net.
        """
        if self._formed.triggered:  # too late
            return self._env.timeout(0, Ring([member]))
        self._members.append(member)
        self._parameters = parameters
        if len(self._members) == 1:
            self._env.process(self._wait())
        self.look(at_work)
        return self._formed

    def look(self, at_work: int) -> None:
        """Form the ring if all are there."""
        if self._members and len(self._members) >= at_work and not self._formed.triggered:
            ring = Ring(self._members)
            ring.measure(self._parameters)
            self._formed.succeed(ring)

    def _wait(self) -> Any:
        yield self._env.timeout(JOIN_S)
        self.look(0)


def together(shards: Sequence[Chunk]) -> Chunk:
    """The rows of several shards as one."""
    import numpy as np

    from splitters import tables

    found = [tables.arrays(shard) for shard in shards]
    return [tables.array_item(name, np.concatenate([arrays[name] for arrays in found])) for name in found[0]]
