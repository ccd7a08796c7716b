"""One run of a job with rounds on a network, in virtual time.

The numbers are real: each turn is the job's own task, each round the job's own step, on this machine, one after the
other. What takes time is not: a turn takes as long as its terminal's steps and transfers would.

A terminal does what a slot does: it claims a turn of the shard that it has done last, else any that nobody does;
fetches the views that it lacks, and a shard that it has not held yet; makes its steps; sends its part; and claims the
next. A turn costs three round trips beside its bytes: to hear of it and claim it, to ask for the views, and to send.
Beginning a process, evaluating and encoding cost no virtual time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators import DRAINED
from cluster import errors
from cluster.rounds import Batch, Course
from cluster.simulation.links import Line, Links
from cluster.simulation.network import Link, Network, Terminal
from cluster.simulation.policies import Policy, Round
from splitters import Chunk

if TYPE_CHECKING:
    from simpy import Environment, Event

NOTICE_S = 0.5
"""Seconds until a turn whose terminal has left is given to another: two looks at its connection."""
A_LITTLE_S = 1e-6
"""After a deadline is looked at the round: numbers are rounded."""
EVALUATES = ("valid", "test")
"""Kinds of rounds that take no steps."""
LEAST_SPEED = 0.1
"""Jitter makes no turn faster than ten times as fast."""


class Used(NamedTuple):
    """What went over a link."""

    link: str
    up_bytes: int
    down_bytes: int
    up_busy: float
    """The share of the time in which something went up."""
    down_busy: float


class _Open:
    """A batch whose parts are waited for."""

    def __init__(self, batch: Batch, at_s: float) -> None:
        self.batch = batch
        self.at_s = at_s
        self.waiting = dict.fromkeys(batch.shards)
        """Shards whose turns nobody does."""
        self.parts: dict[int, bytes] = {}
        self.sizes: dict[int, int] = {}
        self.arrived_s: dict[int, float] = {}
        self.took_s: dict[int, float] = {}
        self.lost = 0
        """Turns whose terminals have left."""
        self.is_closed = False

    def seen(self, now: float) -> Round:
        batch = self.batch
        return Round(
            batch.number, batch.kind, len(batch.shards), batch.quorum, batch.seconds, now - self.at_s, self.arrived_s
        )


class Run:
    """One run, under one policy.

    Args:
        course: Before its first round.
        shards: Reads a shard.
        shard_bytes: Of each shard.
        network: Where it runs.
        policy: A new one.
        steps: Of a turn that works for no given seconds.
        seed: Of jitter, and of who leaves.
        on_round: Called with each row of the curve.
    """

    def __init__(
        self, course: Course, shards: Sequence[Chunk], network: Network, policy: Policy, steps: int,
        seed: int = 0, on_round: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> None:  # fmt: skip
        import simpy

        self.env = simpy.Environment()
        self.course = course
        self._shards = shards
        self._shard_bytes = [sum(len(item.data) for item in shard) for shard in shards]
        self.network = network
        self.policy = policy
        self.steps = steps
        self._on_round = on_round
        self.links = Links(self.env)
        self._lines: dict[str, tuple[Line, Line]] = {}
        self.open: list[_Open] = []
        self._news = self.env.event()
        """Something came for the coordinator."""
        self._work = self.env.event()
        """There are turns that nobody does."""
        self.seed = seed

    def run(self) -> None:
        """Do all rounds.

        Raises:
            errors.RunFailed: A round can never be closed.
        """
        from simpy.core import EmptySchedule

        for terminal in self.network.terminals:
            self.env.process(_Machine(self, terminal).live())
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

    def _wait(self) -> Generator[Event, Any, _Open]:
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

    def _close(self, found: _Open) -> Generator[Event, Any, None]:
        if self.network.cloud_step_s:
            yield self.env.timeout(self.network.cloud_step_s)
        found.is_closed = True
        self.open.remove(found)
        batch, course = found.batch, self.course
        late = [shard for shard in batch.shards if shard not in found.parts]
        row = course.close(
            batch, found.parts, at_s=self.env.now, wall_s=self.env.now - found.at_s, late=late,
            node_seconds=found.took_s, sizes_bytes=found.sizes, view_bytes=self._view_bytes(batch.view_bytes),
        )  # fmt: skip
        self._tell(row, found)
        if course.is_over:
            self.open = []
        elif course.step.apart:
            self._enter([course.enter(batch.shards, batch.version)])
        elif not self.open:
            self._enter([course.enter(range(course.shards), batch.version)])

    def _is_left_over(self, found: _Open) -> bool:
        """Whether a shard went on apart, and all are to go on together now."""
        return not self.course.step.apart and len(found.batch.shards) < self.course.shards

    def _drain(self, found: _Open) -> None:
        found.is_closed = True
        row = {
            "round": self.course.number, "kind": DRAINED, "wall_s": self.env.now - found.at_s, "parts": 0,
            "late": len(found.batch.shards) - len(found.parts), "up_bytes": sum(found.sizes.values()), "rejected": {},
            "down_bytes": self._view_bytes(found.batch.view_bytes), "dropped": len(found.parts),
        }  # fmt: skip
        self.course.rows.append(row)
        self.course.number += 1
        self._tell(row, found)
        if not self.open:
            self._enter([self.course.enter(range(self.course.shards), found.batch.version)])

    def _tell(self, row: dict[str, Any], found: _Open) -> None:
        row |= {"at": self.env.now, "lost": found.lost}
        self._on_round(row)

    def _enter(self, batches: Sequence[Batch]) -> None:
        self.open += [_Open(batch, self.env.now) for batch in batches]
        self.wake()

    def _view_bytes(self, own: int) -> int:
        return self.network.view_bytes or own

    def _why_stuck(self) -> str:
        found = self.open[0]
        missing = [shard for shard in found.batch.shards if shard not in found.parts]
        told = f"the policy {self.policy.name} never closes round {self.course.number}"
        if not missing:
            return f"{told}: all {len(found.parts)} parts have come, and it waits on"
        return (
            f"{told}: it waits for {len(missing)} of {len(found.batch.shards)} parts, and all"
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

    def claim(self, done: Mapping[int, int]) -> tuple[_Open, int] | None:
        """A turn that nobody does: of the shard that was done last, if there is; else the first one.

        Args:
            done: Shard -> the last round in which the process that asks has done it.
        """
        best: tuple[int, _Open, int] | None = None
        for each in self.open:
            for shard in each.waiting:
                last = done.get(shard, -1)
                if best is None or last > best[0]:
                    best = last, each, shard
        if best is None:
            return None
        _, found, shard = best
        del found.waiting[shard]
        return found, shard

    def arrive(self, found: _Open, shard: int, part: bytes, took_s: float) -> None:
        """A part has come."""
        if found.is_closed or shard in found.parts:
            return
        found.parts[shard], found.sizes[shard] = part, self.part_bytes(part)
        found.arrived_s[shard], found.took_s[shard] = self.env.now - found.at_s, took_s
        self.policy.learn(self.env.now - found.at_s)
        self._tell_coordinator()

    def part_bytes(self, part: bytes) -> int:
        """What a part is taken as."""
        return self.network.part_bytes or len(part)

    def unread_bytes(self, batch: Batch, seen: int) -> int:
        """Bytes of the views that a process fetches which holds the one of version ``seen``."""
        own = batch.unread(seen)
        return self._view_bytes(own) if own else 0

    def shard_bytes(self, shard: int) -> int:
        """Of a shard."""
        return self._shard_bytes[shard]

    def do(self, batch: Batch, shard: int, kept: dict[str, Any], steps: int | None) -> bytes:
        """Do the work of a turn, really."""
        return self.course.turn(batch, shard, partial(self._shards.__getitem__, shard), kept, steps)

    def give_back(self, found: _Open, shard: int) -> Generator[Event, Any, None]:
        """A terminal has left in its turn: a while later others may do it."""
        found.lost += 1
        yield self.env.timeout(NOTICE_S)
        if not found.is_closed and shard not in found.parts:
            found.waiting[shard] = None
            self.wake()

    def _tell_coordinator(self) -> None:
        if not self._news.triggered:
            self._news.succeed()


class _Machine:
    """A terminal of a run."""

    def __init__(self, run: Run, terminal: Terminal) -> None:
        self._run = run
        self._env: Environment = run.env
        self._me = terminal
        self._chance = random.Random(repr((run.seed, terminal.name)))  # noqa: S311 - nothing secret
        links = run.network.links(terminal)
        self._up, self._down = run.lines(links, up=True), run.lines(links, up=False)
        self._latency_s = sum(link.latency_s for link in links)
        self._forget()

    def live(self) -> Generator[Event, Any, None]:
        """Come, work, leave, come back."""
        yield self._env.timeout(self._me.joins_s)
        while True:
            yield from self._work()
            if self._me.returns_s == math.inf:
                return
            yield self._env.timeout(self._me.returns_s)
            self._forget()

    def _forget(self) -> None:
        """A new process knows nothing."""
        self._version = -1
        self._kept: dict[int, dict[str, Any]] = {}
        self._done: dict[int, int] = {}

    def _work(self) -> Generator[Event, Any, None]:
        """Do turns until this machine leaves."""
        while True:
            claimed = self._run.claim(self._done)
            if claimed is None:
                yield self._run.work
                continue
            if not (yield from self._turn(*claimed)):
                self._env.process(self._run.give_back(*claimed))
                return

    def _turn(self, found: _Open, shard: int) -> Generator[Event, Any, bool]:
        """Do a turn; False where this machine leaves in it."""
        began, batch = self._env.now, found.batch
        yield self._env.timeout(2 * self._latency_s)
        yield from self._fetch(batch, shard)
        leaves = self._chance.random() < self._me.leaves
        steps, work_s = self._pace(batch)
        if leaves:
            yield self._env.timeout(work_s * self._chance.random())
            return False
        yield self._env.timeout(work_s)
        self._done[shard] = batch.number
        part = self._run.do(batch, shard, self._kept.setdefault(shard, {}), steps)
        yield from self._run.links.transfer(self._up, self._run.part_bytes(part))
        self._run.arrive(found, shard, part, self._env.now - began)
        yield self._env.timeout(self._latency_s)
        return True

    def _fetch(self, batch: Batch, shard: int) -> Generator[Event, Any, None]:
        size_bytes = self._run.unread_bytes(batch, self._version)
        if shard not in self._kept:
            size_bytes += self._run.shard_bytes(shard)
        yield self._env.timeout(self._latency_s)
        yield from self._run.links.transfer(self._down, size_bytes)
        self._version = batch.version

    def _pace(self, batch: Batch) -> tuple[int | None, float]:
        """Steps of this turn, None where it makes none, and the seconds that they take."""
        if batch.kind in EVALUATES:
            return None, 0.0
        step_s = self._me.step_s * max(LEAST_SPEED, 1 + self._me.jitter * self._chance.gauss(0, 1))
        steps = self._run.steps if batch.seconds is None else max(1, math.ceil(batch.seconds / step_s - 1e-9))
        return steps, steps * step_s
