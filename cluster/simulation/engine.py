"""One run of a job with rounds on a network, in virtual time: its coordinator.

The numbers are real: each turn is the job's own task, each round the job's own step, on this machine, one after the
other. What takes time is not: a turn takes as long as its terminal's steps and transfers would, see ``terminals``.

In a tree, terminals behind an edge that aggregates send their parts no farther than there. Once all turns are done, or
the deadline is over, each edge joins what it has by the job's own ``join``, and sends one part on. Of rings see
``rings``.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators import DRAINED
from cluster import errors, wire
from cluster.coordinator.deadline import JoinDeadline
from cluster.rounds import Batch, Bound, Course
from cluster.simulation.links import Line, Links
from cluster.simulation.network import Link, Network
from cluster.simulation.planned import Shapes, Taken
from cluster.simulation.policies import Policy, Round
from cluster.simulation.pool import Pool
from cluster.simulation.rings import Meeting
from cluster.simulation.terminals import EVALUATES, Machine
from cluster.topology import JOIN_BYTES_S
from splitters import Chunk

if TYPE_CHECKING:
    from simpy import Event

A_LITTLE_S = 1e-6
"""After a deadline is looked at the round: numbers are rounded."""


class Used(NamedTuple):
    """What went over a link."""

    link: str
    up_bytes: int
    down_bytes: int
    up_busy: float
    """The share of the time in which something went up."""
    down_busy: float


class Open:
    """A batch whose parts are waited for."""

    def __init__(self, batch: Batch, at_s: float, shape: Taken) -> None:
        self.batch = batch
        self.shape = shape
        self.at_s = at_s
        self.waiting = dict.fromkeys(batch.shards)
        """Shards whose turns nobody does."""
        self.parts: dict[int, bytes] = {}
        self.sizes: dict[int, int] = {}
        """Shard -> bytes that crossed to the coordinator for it."""
        self.arrived_s: dict[int, float] = {}
        self.took_s: dict[int, float] = {}
        self.noted: dict[str, dict[int, bytes]] = {}
        """Edge -> the parts that lie there."""
        self.stand_for: dict[int, tuple[int, ...]] = {}
        """Shard -> the shards whose parts are joined in its part."""
        self.site_bytes = 0
        self.meetings: dict[str, Meeting] = {}
        """Site -> where its terminals form a ring."""
        self.at_work: dict[str, int] = {}
        """Site -> turns that its terminals have claimed."""
        self.lost = 0
        """Turns whose terminals have left."""
        self.is_closed = False

    def seen(self, now: float) -> Round:
        """The round as a policy sees it."""
        batch = self.batch
        return Round(
            batch.number, batch.kind, len(batch.shards), batch.quorum, batch.seconds, now - self.at_s, self.arrived_s
        )

    def late(self) -> list[int]:
        """Shards without a part."""
        there = {member for shard in self.parts for member in self.stand_for.get(shard, (shard,))}
        return [shard for shard in self.batch.shards if shard not in there]


class Run:
    """One run, under one policy.

    Args:
        course: Before its first round.
        shards: Of the input.
        network: Where it runs.
        policy: A new one.
        steps: Of a turn that works for no given seconds.
        shapes: Choose the shape of each round.
        seed: Of jitter, and of who leaves.
        on_round: Called with each row of the curve.
        pool: Does the turns; None: this process does.
    """

    def __init__(
        self, course: Course, shards: Sequence[Chunk], network: Network, policy: Policy, steps: int,
        shapes: Shapes, seed: int = 0, on_round: Callable[[Mapping[str, Any]], None] = lambda row: None,
        pool: Pool | None = None,
    ) -> None:  # fmt: skip
        import simpy

        self.env = simpy.Environment()
        self.course = course
        self.shards = shards
        self.network = network
        self.policy = policy
        self.steps = steps
        self.shapes = shapes
        self.seed = seed
        self._pool = pool
        self.links = Links(self.env)
        self.open: list[Open] = []
        self.together: dict[tuple[int, ...], dict[str, Any]] = {}
        """Shards of a ring -> what it keeps from turn to turn."""
        self._shard_bytes = [sum(len(item.data) for item in shard) for shard in shards]
        self._on_round = on_round
        self._join_deadline = JoinDeadline()
        self._lines: dict[str, tuple[Line, Line]] = {}
        self._news, self._work = self.env.event(), self.env.event()

    def run(self) -> None:
        """Do all rounds.

        Raises:
            errors.RunFailed: A round can never be closed.
        """
        from simpy.core import EmptySchedule

        for terminal in self.network.terminals:
            self.env.process(Machine(self, terminal).live())
        ended = self.env.process(self._drive())
        try:
            while not ended.processed:
                self.env.step()
        except EmptySchedule:
            raise errors.RunFailed(self._why_stuck()) from None

    def used(self) -> list[Used]:
        """What went over each link."""
        seconds = max(self.env.now, 1e-9)
        return [
            Used(name, up.sent_bytes, down.sent_bytes, up.busy_s / seconds, down.busy_s / seconds)
            for name, (up, down) in self._lines.items()
        ]

    def lines(self, links: Sequence[Link], *, up: bool) -> list[Line]:
        """The lines of a way, the same for all that share them."""
        found = []
        for link in links:
            pair = self._lines.setdefault(
                link.name,
                (
                    Line(link.name, link.up_bytes_s, link.latency_s),
                    Line(link.name, link.down_bytes_s, link.latency_s),
                ),
            )
            found.append(pair[0 if up else 1])
        return found

    # The coordinator.

    def _drive(self) -> Generator[Event, Any, None]:
        self._enter(self.course.first())
        while self.open:
            if self._is_left_over(self.open[0]):
                self._drain(self.open.pop(0))
                continue
            found = yield from self._wait()
            yield from self._close(found)

    def _wait(self) -> Generator[Event, Any, Open]:
        """Wait until a batch is to be closed."""
        while True:
            for each in self.open:
                if self.policy.is_over(each.seen(self.env.now)):
                    return each
            wanted_s = [
                each.at_s + self.policy.deadline_s(each.seen(self.env.now)) - self.env.now for each in self.open
            ]
            soonest = min((each for each in wanted_s if 0 <= each < math.inf), default=math.inf)
            self._news = self.env.event()
            timers = [self.env.timeout(soonest + A_LITTLE_S)] if soonest < math.inf else []
            yield self.env.any_of([self._news, *timers])

    def _close(self, found: Open) -> Generator[Event, Any, None]:
        if found.noted:
            yield from self._join(found)
        if self.network.cloud_step_s:
            yield self.env.timeout(self.network.cloud_step_s)
        found.is_closed = True
        self.open.remove(found)
        batch, course = found.batch, self.course
        row = course.close(
            batch, found.parts, at_s=self.env.now, wall_s=self.env.now - found.at_s, late=found.late(),
            node_seconds=found.took_s, sizes_bytes=found.sizes, view_bytes=self._view_bytes(batch.view_bytes),
            joined=found.stand_for, told={"at": self.env.now, "lost": found.lost, **self._shape(found)},
        )  # fmt: skip
        self._on_round(row)
        self._learn_sizes(found)
        if course.is_over:
            self.open = []
        elif course.step.apart:
            self._enter([course.enter(batch.shards, batch.version)])
        elif not self.open:
            self._enter([course.enter(range(course.shards), batch.version)])

    def _shape(self, found: Open) -> dict[str, Any]:
        if found.shape == Taken("star"):
            return {}
        why = {"why": found.shape.why} if found.shape.why else {}
        return {"topology": found.shape.name, **why, "site_bytes": found.site_bytes}

    def _learn_sizes(self, found: Open) -> None:
        """Plan the next rounds by what this one moved."""
        up_bytes = [self.part_bytes(part, found.batch.kind) for part in found.parts.values()]
        if up_bytes and found.batch.kind not in EVALUATES:
            down_bytes = self._view_bytes(found.batch.view_bytes)
            batch = found.batch
            self.shapes.learn(statistics.fmean(up_bytes), down_bytes, len(batch.view), batch.seconds)

    def _join(self, found: Open) -> Generator[Event, Any, None]:
        """Have each edge join the parts that lie there, and send one on; wait for them, but not for ever."""
        began = self.env.now
        joins = [self.env.process(self._join_at(found, edge, began)) for edge in list(found.noted)]
        parts = [part for noted in found.noted.values() for part in noted.values()]
        size_bytes = max(self.part_bytes(part, found.batch.kind) for part in parts)
        most_s = self._join_deadline.seconds(self.shapes.join_s(found.noted, size_bytes))
        yield self.env.any_of([self.env.all_of(joins), self.env.timeout(most_s)])

    def _join_at(self, found: Open, edge: str, began: float) -> Generator[Event, Any, None]:
        """A node at an edge hears of it, claims it, joins, and sends."""
        kind = found.batch.kind
        parts, lines = dict(found.noted[edge]), self.lines(self.network.links_above(edge), up=True)
        to_join = sum(self.part_bytes(part, kind) for part in parts.values())
        latency_s = sum(line.latency_s for line in lines)
        yield self.env.timeout(3 * latency_s + self.network.edges[edge].step_s + to_join / JOIN_BYTES_S)
        values = {shard: wire.unpack(part) for shard, part in parts.items()}
        data = wire.pack(self.course.bound.join(values))
        yield from self.links.transfer(lines, self.part_bytes(data, kind))
        if found.is_closed:
            return
        first = min(parts)
        found.parts[first], found.stand_for[first] = data, tuple(sorted(parts))
        found.sizes[first] = self.part_bytes(data, kind)
        self._join_deadline.learn(self.env.now - began)

    def _is_left_over(self, found: Open) -> bool:
        """Whether a shard went on apart, and all are to go on together now."""
        return not self.course.step.apart and len(found.batch.shards) < self.course.shards

    def _drain(self, found: Open) -> None:
        found.is_closed = True
        row = {
            "round": self.course.number, "kind": DRAINED, "wall_s": self.env.now - found.at_s, "parts": 0,
            "late": len(found.late()), "rejected": {}, "up_bytes": sum(found.sizes.values()),
            "down_bytes": self._view_bytes(found.batch.view_bytes), "dropped": len(found.parts), "at": self.env.now,
            "lost": found.lost,
        }  # fmt: skip
        self.course.rows.append(row)
        self.course.number += 1
        self._on_round(row)
        if not self.open:
            self._enter([self.course.enter(range(self.course.shards), found.batch.version)])

    def _enter(self, batches: Sequence[Batch]) -> None:
        self.open += [Open(batch, self.env.now, self.shapes.taken) for batch in batches]
        self.wake()

    def _view_bytes(self, own: int) -> int:
        return self.network.view_bytes or own

    def _why_stuck(self) -> str:
        found = self.open[0]
        told = f"the policy {self.policy.name} never closes round {self.course.number}"
        missing = len(found.batch.shards) - len(found.arrived_s)
        if not missing:
            return f"{told}: all {len(found.arrived_s)} parts have come, and it waits on"
        return (
            f"{told}: it waits for {missing} of {len(found.batch.shards)} parts, and all"
            f" {len(self.network.terminals)} terminals have left for good; let them return, or fewer of them leave"
        )

    # What terminals ask.

    def wake(self) -> None:
        """Tell terminals that there are turns."""
        woken, self._work = self._work, self.env.event()
        woken.succeed()

    @property
    def work(self) -> Event:
        """Comes when there are new turns."""
        return self._work

    def claim(self, done: Mapping[int, int], site: str) -> tuple[Open, int] | None:
        """A turn that nobody does: of the shard that was done last, if there is; else the first one.

        Args:
            done: Shard -> the last round in which the process that asks has done it.
            site: Where it is.
        """
        best: tuple[int, Open, int] | None = None
        for each in self.open:
            for shard in each.waiting:
                last = done.get(shard, -1)
                if best is None or last > best[0]:
                    best = last, each, shard
        if best is None:
            return None
        _, found, shard = best
        del found.waiting[shard]
        found.at_work[site] = found.at_work.get(site, 0) + 1
        return found, shard

    def arrive(self, found: Open, shard: int, part: bytes | None, size_bytes: int, took_s: float) -> None:
        """A part has come; None: that of another shard stands for it."""
        if found.is_closed or shard in found.arrived_s:
            return
        if part is not None:
            found.parts[shard] = part
        found.sizes[shard] = size_bytes
        self._learn(found, shard, took_s)

    def note(self, found: Open, shard: int, part: bytes, edge: str, took_s: float) -> None:
        """A part has come to the store of an edge, and the coordinator hears of it."""
        if found.is_closed or shard in found.arrived_s:
            return
        found.noted.setdefault(edge, {})[shard] = part
        found.site_bytes += self.part_bytes(part, found.batch.kind)
        self._learn(found, shard, took_s)

    def _learn(self, found: Open, shard: int, took_s: float) -> None:
        found.arrived_s[shard], found.took_s[shard] = self.env.now - found.at_s, took_s
        self.policy.learn(self.env.now - found.at_s)
        if not self._news.triggered:
            self._news.succeed()

    def part_bytes(self, part: bytes, kind: str) -> int:
        """What a part of a round of that kind is taken as; those that only evaluate are as they are."""
        return (0 if kind in EVALUATES else self.network.part_bytes) or len(part)

    def unread_bytes(self, batch: Batch, seen: int) -> int:
        """Bytes of the views that a process fetches which holds the one of version ``seen``."""
        own = batch.unread(seen)
        return self._view_bytes(own) if own else 0

    def shard_bytes(self, shard: int) -> int:
        """Of a shard."""
        return self._shard_bytes[shard]

    def begin(
        self, who: str, batch: Batch, shard: int, kept: dict[str, Any], steps: int | None
    ) -> Callable[[], bytes]:  # fmt: skip
        """Begin the work of a turn, really; gives what waits for its packed part."""
        if self._pool is not None:
            return self._pool.begin(who, batch, shard, steps)
        return partial(self.do, batch, shard, None, kept, steps)

    def do(
        self, batch: Batch, shard: int, read: Callable[[], Chunk] | None, kept: dict[str, Any], steps: int | None,
        bound: Bound | None = None,
    ) -> bytes:  # fmt: skip
        """Do the work of a turn, really; gives the packed part."""
        return self.course.turn(
            batch, shard, read or partial(self.shards.__getitem__, shard), kept, steps, bound=bound
        )  # fmt: skip

    def give_back(self, found: Open, shard: int, site: str, after_s: float) -> Generator[Event, Any, None]:
        """A terminal has left in its turn: a while later others may do it."""
        found.lost += 1
        found.at_work[site] -= 1
        if site in found.meetings:
            found.meetings[site].look(found.at_work[site])
        yield self.env.timeout(after_s)
        if not found.is_closed and shard not in found.arrived_s:
            found.waiting[shard] = None
            self.wake()
