"""A terminal of a simulated run.

It does what a slot does: it claims a turn of the shard that it has done last, else any that nobody does; fetches the
views that it lacks, and a shard that it has not held yet; makes its steps; sends its part; and claims the next. A turn
costs three round trips beside its bytes: to hear of it and claim it, to ask for the views, and to send. Beginning a
process, evaluating and encoding cost no virtual time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster.rounds import Batch
from cluster.simulation.network import CLOUD, Link, Terminal
from cluster.simulation.planned import first_that_joins
from cluster.simulation.rings import Meeting, Member, Ring

if TYPE_CHECKING:
    from simpy import Environment, Event

    from cluster.simulation.engine import Open, Run

NOTICE_S = 0.5
"""Seconds until a turn whose terminal has left is given to another: two looks at its connection."""
EVALUATES = ("valid", "test")
"""Kinds of rounds that take no steps."""
LEAST_SPEED = 0.1
"""Jitter makes no turn faster than ten times as fast."""


class Machine:
    """A terminal of a run."""

    def __init__(self, run: Run, terminal: Terminal) -> None:
        self._run = run
        self._env: Environment = run.env
        self._me = terminal
        self._chance = random.Random(repr((run.seed, terminal.name)))  # noqa: S311 - nothing secret
        links = run.network.links(terminal)
        self._edge = first_that_joins(run.network, terminal.of)
        far = run.network.links_above(self._edge) if self._edge else ()
        self._near = run.lines(links[: len(links) - len(far)], up=True)
        self._up, self._down = run.lines(links, up=True), run.lines(links, up=False)
        self._latency_s = sum(link.latency_s for link in links)
        self._far_s = sum(link.latency_s for link in far)
        self._life = 0
        """How often it came."""
        self._forget()

    @property
    def link(self) -> Link:
        """Its own one."""
        return self._me.link

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
        self._life += 1
        self._done: dict[int, int] = {}

    def _work(self) -> Generator[Event, Any, None]:
        """Do turns until this machine leaves."""
        while True:
            claimed = self._run.claim(self._done, self._me.of)
            if claimed is None:
                yield self._run.work
                continue
            if not (yield from self._turn(*claimed)):
                self._env.process(self._run.give_back(*claimed, self._me.of, NOTICE_S))
                return

    def _turn(self, found: Open, shard: int) -> Generator[Event, Any, bool]:
        """Do a turn; False where this machine leaves in it."""
        began, batch = self._env.now, found.batch
        yield self._env.timeout(2 * self._latency_s)
        yield from self._fetch(batch, shard)
        leaves = self._chance.random() < self._me.leaves
        step_s = self._step_s()
        if leaves:
            yield self._env.timeout(self._steps(batch, step_s) * step_s * self._chance.random())
            return False
        ring = yield from self._meet(found, shard, step_s)
        if ring is not None:
            step_s = ring.step_s
        steps = self._steps(batch, step_s)
        who = repr((self._me.name, self._life))
        if ring is None:
            work = self._run.begin(who, batch, shard, self._kept[shard], steps or None)
        else:
            work = partial(ring.work, self._run, batch, steps)
        yield self._env.timeout(steps * step_s)
        self._done[shard] = batch.number
        yield from self._hand_in(found, shard, work, ring, began)
        yield self._env.timeout(self._latency_s)
        return True

    def _fetch(self, batch: Batch, shard: int) -> Generator[Event, Any, None]:
        size_bytes = self._run.unread_bytes(batch, self._version)
        if shard not in self._kept:
            size_bytes += self._run.shard_bytes(shard)
            self._kept[shard] = {}
        yield self._env.timeout(self._latency_s)
        yield from self._run.links.transfer(self._down, size_bytes)
        self._version = batch.version

    def _meet(self, found: Open, shard: int, step_s: float) -> Generator[Event, Any, Ring | None]:
        """Form a ring with the others of this site; None: work alone."""
        site = self._me.of
        if not found.shape.at("ring", site) or found.batch.kind in EVALUATES or site == CLOUD:
            return None
        meeting = found.meetings.setdefault(site, Meeting(self._env))
        ring: Ring = yield meeting.join(
            Member(shard, step_s, self._me.link), found.at_work[site], len(found.batch.view)
        )
        return ring if shard in ring.shards and len(ring.shards) > 1 else None

    def _hand_in(
        self, found: Open, shard: int, work: Callable[[], bytes], ring: Ring | None, began: float
    ) -> Generator[Event, Any, None]:
        """Send what came of the work."""
        run, batch = self._run, found.batch
        if ring is not None and ring.shards[0] != shard:
            yield from run.links.transfer(self._up, ring.MEMBER_BYTES)
            run.arrive(found, shard, None, ring.MEMBER_BYTES, self._env.now - began)
            return
        part = work()
        if ring is not None:
            found.stand_for[shard] = ring.shards
        to_edge = self._edge and found.shape.at("tree", self._me.of)
        yield from run.links.transfer(self._near if to_edge else self._up, run.part_bytes(part, batch.kind))
        if to_edge:
            yield self._env.timeout(self._far_s)
            run.note(found, shard, part, self._edge, self._env.now - began)
        else:
            run.arrive(found, shard, part, run.part_bytes(part, batch.kind), self._env.now - began)

    def _step_s(self) -> float:
        """Seconds of each step of this turn."""
        return self._me.step_s * max(LEAST_SPEED, 1 + self._me.jitter * self._chance.gauss(0, 1))

    def _steps(self, batch: Batch, step_s: float) -> int:
        if batch.kind in EVALUATES:
            return 0
        return self._run.steps if batch.seconds is None else max(1, math.ceil(batch.seconds / step_s - 1e-9))
