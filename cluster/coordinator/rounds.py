"""Drive a run in rounds: close a round, make the next state of its parts, enter the next round.

The process that holds the run's lease drives it, in a thread of its own. All that it knows stands in the ledger after
each round, so the next holder goes on with the round that is open. A state is made of parts by functions that give the
same again, so it does not matter how often that is done: ``Lease.advance`` takes each round once.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import kombu.exceptions
import redis

from aggregators import DRAINED, Closed, NoResult, Step
from cluster import errors, keys
from cluster.coordinator import round_parts
from cluster.coordinator import standing as standings
from cluster.coordinator.cancel import cancel
from cluster.coordinator.checkpoints import Checkpoints
from cluster.coordinator.deadline import Deadline, JoinDeadline, is_to_close, least_parts
from cluster.coordinator.round_parts import Got, Noted
from cluster.coordinator.shapes import Shapes
from cluster.coordinator.standing import Join, Open, Standing
from cluster.job import Job
from cluster.ledger.lease import Busy, Lease, OutOfStep
from cluster.ledger.records import as_reason
from cluster.ledger.row import RunRow
from cluster.messaging import publish, queues
from cluster.rounds import Bound
from cluster.stores import Stores
from cluster.wire import ChunkEntry, Note, TurnEntry

if TYPE_CHECKING:
    from celery import Celery

    from cluster.ledger.records import Arrival

WAIT_S = 0.5
"""Seconds between two looks at a round to which no part comes."""
HOLD_S = 0.1
"""Seconds that chunks wait for the slots that stay, before messages for them are published."""
OFFER_S = 1.0
"""Seconds after which one of the rounds that end within ``HOLD_S`` is published at once: else a node that joins would
never get a message, though shards wait for slots."""
SEATS_S = 2.0
"""Seconds that the nodes of a site have for taking the shards that they are to do together."""
DROP_S = 2.0
"""Seconds for which the blobs of a round stay after they are replaced: Redis may forget its last second."""
log = logging.getLogger(__name__)


class Tools(NamedTuple):
    """What a driver works with; its supervisor makes it."""

    app: Celery
    stores: Stores
    requirement: str
    publishing: threading.Lock
    """Held while messages are published: what is half published does not count as lost."""
    feed: Callable[[Lease], None]
    """Puts published messages into the queue."""
    checkpoints: Checkpoints | None = None
    """Writes those of the run to a folder of this machine; None: nowhere."""


class Driver:
    """Drives one run for the holder of its lease, until the run is over or the lease is another's."""

    def __init__(self, job: Job, run: str, lease: Lease, tools: Tools) -> None:
        self._job = job
        self._run = run
        self.lease = lease
        self._tools = tools
        self._stores = tools.stores
        self._ledger = tools.stores.ledger
        self._policy = self._ledger.runs.policy(run)
        self._began_ms = 0
        self._deadline, self._join_deadline = Deadline(), JoinDeadline()
        self._shapes = Shapes(job, tools.stores, self._ledger.runs.row(run, "options") or RunRow())
        self._arrivals: dict[int, Arrival] = {}
        self._after = ""
        self._held: list[int] = []
        """Chunks for slots that stay; they are published at ``_held_until``."""
        self._held_until = 0.0
        self._entered_at = self._offered_at = 0.0
        """When chunks were entered last; when those of a round were published at once."""
        self._freed = -1
        """The batch whose chunks nodes of any place may do by now."""
        self._published = False
        """Whether messages of open batches may be in the queue."""
        self._old: deque[tuple[float, str]] = deque()
        """Scopes of blobs that nobody needs soon, and when."""
        self._superseded: set[int] = set()
        """Versions of views that only batches which are open may still need."""
        self._told = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._drive_on, name=f"drive {run}", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self, most_s: float) -> None:
        """End, within this many seconds or a little later by itself."""
        self._ending.set()
        self._thread.join(timeout=most_s)

    @property
    def is_alive(self) -> bool:
        """Whether it drives."""
        return self._thread.is_alive()

    def _drive_on(self) -> None:
        while not self._ending.is_set():
            try:
                self._drive()
                return
            except (Busy, errors.RunOver):
                return  # the supervisor finds out, too
            except OutOfStep:
                log.warning(
                    "run %s: Redis has forgotten the last round; it is done again",
                    self._run, extra={"event": "out-of-step", "run": self._run},
                )  # fmt: skip
            except (redis.RedisError, kombu.exceptions.OperationalError, OSError) as error:
                self._tell_once(error)
                self._ending.wait(WAIT_S)
            except NoResult as error:
                log.warning("run %s: %s", self._run, error, extra={"event": "failed", "run": self._run})
                self._fail(str(error))
                return
            except Exception as error:
                log.exception("run %s: a round failed", self._run, extra={"event": "failed", "run": self._run})
                self._fail(f"closing a round failed: {type(error).__name__}: {error}")
                return

    def _tell_once(self, error: Exception) -> None:
        """Say what keeps a round open, Redis or a disk that is full, say. The round goes on by itself."""
        if str(error) != self._told:
            log.warning(
                "run %s: a round cannot be closed now; it is tried again: %s",
                self._run, error, extra={"event": "round-waits", "run": self._run},
            )  # fmt: skip
        self._told = str(error)

    def _fail(self, why: str) -> None:
        try:
            cancel(self._run, self._stores, as_reason(why), "failed", self.lease.fence)
        except redis.RedisError as error:
            log.warning("run %s cannot be ended now: %s", self._run, error)

    def _drive(self) -> None:
        found = self._ledger.rounds.of(self._run)
        row = self._ledger.runs.row(self._run, "started_at")
        if found is None or row is None:
            raise errors.RunOver(f"the run {self._run} is gone")
        self._began_ms = int(1000 * (row.started_at or 0.0))
        standing, bound = Standing.unpack(found.state, found.views), standings.bound(self._run, self._job, self._stores)
        state = standings.read_state(self._run, standing, bound, self._stores)
        if not standing.round:  # later, the search for lost messages finds what the last driver did not publish
            with self._tools.publishing:
                self._publish(standing.open)
        while standing.kind and not self._ending.is_set():
            if standing.is_draining:
                standing = self._drain(bound, standing)
            elif (batch := self._wait(standing)) is None:
                return
            elif (halved := self._enter_joins(standing, batch)) is not None:
                standing = halved
            else:
                state, standing = self._close(bound, state, standing, batch)
            self._drop_old()
        if not standing.kind:
            self._drop_all(standing)

    # Wait for the parts of a round.

    def _wait(self, standing: Standing) -> Open | None:
        """Wait until a batch is to be closed; None where the run is over.

        Raises:
            OutOfStep: Redis has forgotten that the round before was closed, or that its second half was begun.
        """
        while not self._ending.is_set():
            self._drop_old()  # a full Redis may have no room for the next state before
            seen = self._ledger.rounds.look(self._run, [batch.batch for batch in standing.open])
            if seen.state != "running":
                return None
            if seen.closed != standing.round or seen.chunks != standing.chunks:
                raise OutOfStep
            for batch, arrived in zip(standing.open, seen.arrived, strict=True):
                if self._is_to_close(standing, batch, arrived, seen.now_ms):
                    return batch
            if self._held and time.monotonic() >= self._held_until:
                self._publish_held(standing)
            self._free_seats(standing, seen.now_ms)
            self._hear(standing, self._patience_s(standing, seen.now_ms))
        return None

    def _free_seats(self, standing: Standing, now_ms: int) -> None:
        """Where nodes of a site did not take all shards that they are to do together, other nodes may do these."""
        for batch in standing.open:
            is_due = batch.shape.rings and (now_ms - batch.opened_ms) / 1000 > SEATS_S
            if is_due and batch.batch != self._freed:
                self._ledger.rounds.free(self._run, batch.chunks)
                self._freed = batch.batch

    def _hear(self, standing: Standing, most_s: float) -> None:
        """Learn which parts have come; wait for one, for up to ``most_s``."""
        opened_ms = {chunk: batch.opened_ms for batch in standing.open for chunk in batch.chunks}
        joined_ms = {chunk: batch.joined_ms for batch in standing.open for chunk in batch.join_chunks}
        for arrival in self._ledger.rounds.await_arrival(self._run, self._after, most_s):
            self._after = arrival.id
            for deadline, began_ms in ((self._deadline, opened_ms), (self._join_deadline, joined_ms)):
                if arrival.chunk in began_ms:
                    self._arrivals[arrival.chunk] = arrival
                    deadline.learn((arrival.at_ms - began_ms[arrival.chunk]) / 1000)

    def _patience_s(self, standing: Standing, now_ms: int) -> float:
        """Wait no longer than until the deadline, or until what is held is to be published.

        After the deadline only a part can close the round.
        """
        waits = [WAIT_S]
        if self._held:
            waits.append(self._held_until - time.monotonic())
        if standing.open[0].joins:
            waits.append(self._join_s(standing) - (now_ms - standing.open[0].joined_ms) / 1000)
        elif not standing.apart:
            left_s = self._deadline.seconds(standing.seconds) - (now_ms - standing.open[0].opened_ms) / 1000
            waits += [left_s] if left_s >= 0 else []
        return max(0.005, min(waits))

    def _is_to_close(self, standing: Standing, batch: Open, arrived: int, now_ms: int) -> bool:
        """Whether the round is to be closed; or its first half, where parts went to the stores of sites."""
        if batch.joins:
            joined = self._ledger.rounds.settled(self._run, batch.batch, batch.join_chunks)
            return joined == len(batch.joins) or (now_ms - batch.joined_ms) / 1000 > self._join_s(standing)
        deadline_s, age_s = self._deadline.seconds(standing.seconds), (now_ms - batch.opened_ms) / 1000
        return is_to_close(arrived, len(batch.shards), standing.quorum, age_s, deadline_s)

    def _join_s(self, standing: Standing) -> float:
        """The seconds after which the second half is over: a join may wait for a slot as long as a turn may."""
        turn_s = self._deadline.seconds(standing.seconds)
        join_s = self._join_deadline.seconds(standing.open[0].shape.join_s)
        return max(join_s, turn_s if turn_s < math.inf else 0.0)

    def _granted_s(self, standing: Standing, batch: Open) -> float | None:
        """The seconds after which the batch is closed without the parts that are missing; None: it waits for all."""
        seconds = self._deadline.seconds(standing.seconds)
        shards = len(batch.shards)
        return seconds if seconds < math.inf and least_parts(standing.quorum, shards) < shards else None

    def _now_ms(self) -> int:
        return int(self._ledger.runs.now().timestamp() * 1000)

    # Have the parts of sites joined.

    def _enter_joins(self, standing: Standing, batch: Open) -> Standing | None:
        """Begin the second half of a round: each site with parts in its store joins them. None where there is no site.

        Another driver finds the second half in the ledger, with the parts that are to be joined in it.

        Raises:
            Busy: The lease is another's.
            OutOfStep: The ledger does not stand where ``standing`` does.
            errors.RunOver: The run is over.
        """
        if batch.joins or not batch.shape.edges:
            return None
        noted = round_parts.noted(self._run, batch, self._stores)
        edges = sorted({each.edge for each in noted.values()})
        if not edges:
            return None
        joins = [Join(edge, tuple(shard for shard in noted if noted[shard].edge == edge)) for edge in edges]
        halved = standing.enter_joins(batch, joins, self._now_ms())
        [batch] = halved.open
        with self._tools.publishing:
            self.lease.enter_joins(
                halved.round, batch.batch, batch.join_chunks.start, halved.packed(),
                {join.edge: _joining(halved, batch, join, noted) for join in joins},
            )  # fmt: skip
            if not self._held:
                self._held_until = time.monotonic() + HOLD_S
            self._held += batch.join_chunks  # the slots of the sites stay, most likely
        return halved

    # Close it.

    def _close(self, bound: Bound, state: Any, standing: Standing, batch: Open) -> tuple[Any, Standing]:
        """Make the next state of the parts, and enter the next round.

        Raises:
            Busy: The lease is another's.
            OutOfStep: The ledger does not stand where ``standing`` does.
            errors.RunOver: The run is over.
        """
        granted_s = self._granted_s(standing, batch)
        while True:
            times, began = {}, time.monotonic()
            got = round_parts.read(self._run, bound, batch, self._stores, self._policy)
            self._hear(standing, 0)  # so that it is known when each of these came, and why one was given up
            got = got.explained(batch, self._arrivals)
            times["read"], began = time.monotonic() - began, time.monotonic()
            closed = self._closed(standing, batch, got)
            step = bound.step(state, closed)
            times["step"], began = time.monotonic() - began, time.monotonic()
            written = standings.write(self._run, standing, step, bound, self._stores, self._policy.retention_s)
            times["write"] = time.monotonic() - began
            now_ms = self._now_ms()
            shape = self._shapes.choose(written, batch, got, closed.nodes, step)
            after, row = written.after(step, batch, now_ms, shape), {}
            if step.row:
                row = round_parts.row(
                    standing, batch, got, step, self._arrivals, times, granted_s, now_ms, self._began_ms
                )
            if self._advance(standing, after, batch, step, got, row):
                self._leave(standing, after, batch, step)
                self._told = ""
                if step.keep and self._tools.checkpoints is not None:  # nodes work on the next round meanwhile
                    self._tools.checkpoints.write(bound, step.state, after.round)
                return step.state, after

    def _closed(self, standing: Standing, batch: Open, got: Got) -> Closed:
        came = {shard: self._arrivals.get(chunk) for shard, chunk in zip(batch.shards, batch.chunks, strict=True)}
        return Closed(
            round=standing.round, shards=standing.shards, kind=standing.kind, base=str(batch.version),
            seconds=standing.seconds, parts=got.values,
            late=tuple(shard for shard in batch.shards if shard not in got.sizes_bytes and shard not in got.given_up),
            given_up=got.given_up, nodes={shard: each.node for shard, each in came.items() if each and each.node},
            staleness=standing.version - batch.version,
            node_seconds={shard: (each.at_ms - each.claimed_ms) / 1000 for shard, each in came.items() if each},
            sizes_bytes=got.sizes_bytes, view_bytes=batch.view_bytes, at_s=(self._now_ms() - self._began_ms) / 1000,
        )  # fmt: skip

    def _advance(
        self, standing: Standing, after: Standing, batch: Open, step: Step, got: Got, row: dict[str, Any]
    ) -> bool:  # fmt: skip
        """Whether the round is closed now; False where a part came since the parts were read."""
        entered = tuple(each for each in after.open if each.batch >= standing.batches)
        with self._tools.publishing:
            answer = self.lease.advance(
                standing.round, batch.batch, got.chunks, after.packed(), after.views, row, entries(after, entered),
                planned=step.rounds, rejected=len(got.odd) + len(step.rejected), over=not after.kind,
                missing={item: as_reason(why) for item, why in step.missing.items()}, first=standing.chunks,
            )  # fmt: skip
            if answer == "more":
                return False
            if self._published and len(standing.open) == 1:  # slots that stay did without it
                queues.unsend(self._stores, keys.queue(self._tools.requirement), {self._run})
                self._published = False
            self._held = [chunk for chunk in self._held if chunk not in batch.all_chunks]
            self._publish(entered, staying=got.staying)
            return True

    def _drain(self, bound: Bound, standing: Standing) -> Standing:
        """Give up a batch that one shard does apart: from now on all shards go on together.

        It has a line of the curve, too, so that nobody misses a part: it is late, or dropped as it came too late.
        """
        batch = standing.open[0]
        while True:
            got = round_parts.read(self._run, bound, batch, self._stores, self._policy)._replace(staying=False)
            self._hear(standing, 0)
            told = {"kind": DRAINED, "parts": 0, "dropped": len(got.values)}
            step = Step(None, None, row=told, kind=standing.kind, seconds=standing.seconds, quorum=standing.quorum)
            now_ms = self._now_ms()
            after = standing.after(step, batch, now_ms)
            row = round_parts.row(standing, batch, got, step, self._arrivals, {}, None, now_ms, self._began_ms)
            if self._advance(standing, after, batch, step, got, row):
                self._leave_parts(batch)
                return after

    # Publish it.

    def _publish(self, batches: Sequence[Open], *, staying: bool = False) -> None:
        """Publish the chunks of batches; where slots stay, these have ``HOLD_S`` to claim them."""
        if staying and not self._is_offered(batches):
            if not self._held:  # where shards go apart, others come before these are due
                self._held_until = time.monotonic() + HOLD_S
            self._held += [chunk for batch in batches for chunk in batch.chunks]
            return
        for batch in batches:
            self._send(batch, batch.chunks)
        self._tools.feed(self.lease)

    def _is_offered(self, batches: Sequence[Open]) -> bool:
        """Whether chunks are published at once although slots stay: see ``OFFER_S``."""
        now = time.monotonic()
        is_short, self._entered_at = now - self._entered_at < HOLD_S, now
        if not is_short or now - self._offered_at < OFFER_S or all(len(batch.shards) == 1 for batch in batches):
            return False
        self._offered_at = now
        return True

    def _publish_held(self, standing: Standing) -> None:
        waiting = set(self._ledger.chunks.waiting(self._run))
        held, self._held = [chunk for chunk in self._held if chunk in waiting], []
        with self._tools.publishing:
            for batch in standing.open:
                self._send(batch, [chunk for chunk in held if chunk in batch.all_chunks])
        if held:
            self._tools.feed(self.lease)

    def _send(self, batch: Open, chunks: Sequence[int]) -> None:
        if chunks:
            self._published = True
            publish.publish_batch(
                self._tools.app, self._tools.requirement, self._run, batch.batch,
                [range(chunk, chunk + 1) for chunk in chunks], self._policy, "driver",
            )  # fmt: skip

    # Forget it.

    def _leave(self, standing: Standing, after: Standing, batch: Open, step: Step) -> None:
        """What only the closed round needed goes, a while later."""
        moment = time.monotonic() + DROP_S
        self._leave_parts(batch)
        self._old.append((moment, keys.state_scope(self._run, standing.state_of)))
        self._superseded |= {view.version for view in standing.views} - {view.version for view in after.views}
        behind = [other.version for other in after.open if other.version < after.views[0].version]
        gone = {version for version in self._superseded if all(version > other for other in behind)}
        self._superseded -= gone
        self._old += [(moment, keys.view_scope(self._run, version)) for version in sorted(gone)]

    def _leave_parts(self, batch: Open) -> None:
        for chunk in batch.all_chunks:
            self._arrivals.pop(chunk, None)
        self._old.append((time.monotonic() + DROP_S, keys.parts_scope(self._run, batch.batch)))

    def _drop_all(self, standing: Standing) -> None:
        """The run is done: of its blobs the last state stays, and what is told about the input."""
        self._ending.wait(DROP_S)
        scopes = [scope for _, scope in self._old]
        scopes += [keys.view_scope(self._run, view.version) for view in standing.views]
        scopes += [keys.data_scope(self._run, shard + 1) for shard in range(standing.shards)]
        for scope in scopes:
            self._stores.blobs.drop(scope)

    def _drop_old(self) -> None:
        while self._old and self._old[0][0] < time.monotonic():
            self._stores.blobs.drop(self._old.popleft()[1])


def entries(standing: Standing, batches: Sequence[Open]) -> list[ChunkEntry]:
    """The ledger's entries of the chunks of batches that are entered."""
    return [
        ChunkEntry(
            names=[f"round {standing.round}, shard {shard}"], refs=[], last=[False], batch=batch.batch,
            turn=_turn(standing, shard, edges=list(batch.shape.edges), ring=batch.shape.ring_of(shard)),
        )
        for batch in batches
        for shard in batch.shards
    ]  # fmt: skip


def _joining(standing: Standing, batch: Open, join: Join, noted: Mapping[int, Noted]) -> ChunkEntry:
    """The ledger's entry of a chunk that joins the parts of a site."""
    notes = [Note(shard, *noted[shard].ref) for shard in join.shards]
    name = f"round {standing.round}, {len(notes)} parts joined"
    turn = _turn(standing, join.shards[0], notes=notes)
    return ChunkEntry(names=[name], refs=[], last=[False], batch=batch.batch, turn=turn)


def _turn(standing: Standing, shard: int, **more: Any) -> TurnEntry:
    return TurnEntry(
        round=standing.round, shard=shard, shards=standing.shards, kind=standing.kind, seconds=standing.seconds,
        base=str(standing.version), views=list(standing.views), **more,
    )  # fmt: skip
