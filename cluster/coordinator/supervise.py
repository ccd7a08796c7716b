"""Keep a run's lease, and see that nothing of the run gets lost and nobody waits for a slow node."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

import kombu.exceptions
import redis

from cluster import errors, keys, names
from cluster.coordinator import backlog, failure_detector
from cluster.job import Job
from cluster.ledger.lease import LEASE_S, Busy, Lease, Role
from cluster.ledger.records import Progress, Running
from cluster.messaging import delays, publish, queues
from cluster.names import Partial, TaskId, Unit
from cluster.nodes import demand
from cluster.nodes.registry import Node
from cluster.stores import Stores

if TYPE_CHECKING:
    from celery import Celery

TICK_S = 0.25
KEEP_S = LEASE_S / 6
TOUCH_S = 60.0
FEED_S = 1.0
"""Between two looks at the slots there are, and at the runs that share them."""
LEAVE_S = 2.0
MISSING_S = 0.8
"""A message is lost when it is seen nowhere for so long: those that are just being taken are nowhere, too."""
UNAGGREGATED_S = 1.0
"""A batch that has been complete for this many seconds may have lost the message that aggregates it."""
STALLED_S = 2.0
"""A run that does not move for so long may have lost a message: it is looked for, and again ever more seldom."""
MOST_STALLED_S = 60.0
SLOW_FACTOR = 2.0
"""A chunk that takes so many times what the fastest free node would is slow."""
WORTH_FACTOR = 1.5
"""It is begun a second time where the rest of it would take so many times what the fastest free node would."""
SLOW_FROM_S = 1.0
log = logging.getLogger(__name__)


class Supervisor:
    """Supervises one run from a thread of its own, until the run is over.

    While another one holds the run's lease it only tries, now and then, to take it.

    Args:
        app: To publish with.
        job: The run's job.
        run: Its id.
        stores: Where it is kept.
        owner: Whom to name as coordinator.
        role: With which the lease is taken.
    """

    def __init__(self, app: Celery, job: Job, run: str, stores: Stores, owner: str, role: Role) -> None:
        self._app = app
        self.job = job
        self._run = run
        self._stores = stores
        self._owner = owner
        self._role = role
        self.label = stores.ledger.runs.label(run) or job.label
        """What a node must serve to do the run."""
        self.policy = stores.ledger.runs.policy(run)
        """What the run's submitter has set for it."""
        self.publishing = threading.Lock()
        """Held while messages are published: what is half published does not count as lost."""
        self.held: Lease | None = None
        """The run's lease, unless it is known to be another's."""
        self._taking = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name=f"supervise {run}", daemon=True)
        self._kept_at = self._touched_at = time.monotonic()
        self._fed_at = 0.0
        self._nodes: list[Node] = []
        self._others: list[str] = []  # labels of the runs that share them
        self._search = Search()

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(timeout=LEAVE_S)  # it may be waiting for Redis; then the lease runs out by itself

    @property
    def over(self) -> bool:
        """Whether the run is."""
        return not self._thread.is_alive()

    def lease(self) -> Lease:
        """The run's lease, taken if need be.

        Raises:
            Busy: Another one holds it.
            errors.RunOver: The run is over.
        """
        with self._taking:
            if self.held is None:
                lease = Lease.take(self._stores.ledger, self._run, self._owner, self._role)
                self._demand()
                self._fed_at = 0.0
                self.feed(lease)  # so that it knows of others before it publishes
                self.held = lease
                self._kept_at = time.monotonic()
                self._search = Search()
                log.info(
                    "run %s: coordinated here from now on", self._run, extra={"event": "coordinator", "run": self._run}
                )
            return self.held

    def _demand(self) -> None:
        """Have nodes that can serve the run's label do so; again, as Redis may have lost it."""
        if self.label != self.job.label:
            demand.enter(self._stores.redis, self.label, self._run)

    def feed(self, lease: Lease) -> None:
        """Have the nodes get what the run has published, as far as its share of the slots goes.

        Raises:
            Busy: The lease is another's.
        """
        if time.monotonic() - self._fed_at > FEED_S:
            self._nodes, self._fed_at = self._stores.nodes.nodes(), time.monotonic()
        share, slots = backlog.share(self._nodes, self.label, self._others)
        self._others = lease.feed(share, slots)

    def step_back(self) -> None:
        """Another one reads the input: from now on only see to it that the run ends, when nobody else does."""
        with self._taking:
            self._role = "supervisor"
            if self.held is not None:
                self.held.release()
                self.held = None

    def lost(self, lease: Lease) -> None:
        """A script said that this lease is another's by now."""
        with self._taking:
            if self.held is lease:
                self.held = None
                log.warning(
                    "run %s: another one coordinates it now", self._run, extra={"event": "lease-lost", "run": self._run}
                )

    def look_soon(self) -> None:
        """Something may have been published half-way: look for lost messages."""
        self._search.look_soon()

    def _supervise(self) -> None:
        try:
            self._tick_on()
        finally:
            self._clean_up()
            if self.held is not None:
                with contextlib.suppress(redis.RedisError):
                    self.held.release()

    def _tick_on(self) -> None:
        while not self._ending.wait(TICK_S):
            try:
                self._tick()
            except (errors.RunOver, errors.RunFailed):
                return
            except Busy:
                self._ending.wait(KEEP_S)
            except (redis.RedisError, kombu.exceptions.OperationalError, OSError) as error:
                log.debug("run %s cannot be supervised now: %s", self._run, error)
                self._search.look_soon()
            except Exception:
                log.exception("run %s: supervising it failed; going on", self._run)

    def _clean_up(self) -> None:
        """If the run is over, take what is left of its messages along, of second copies say."""
        ledger = self._stores.ledger
        with contextlib.suppress(redis.RedisError, errors.RunFailed):
            if ledger.runs.progress(self._run).state != "running":
                queues.unsend(self._stores, keys.queue(self.label), {self._run})

    def _tick(self) -> None:
        progress = self._stores.ledger.runs.progress(self._run)
        if progress.state != "running":
            raise errors.RunOver(progress.state)
        delays.release(self._stores.redis)
        lease = self.lease()
        now = time.monotonic()
        if now - self._kept_at > KEEP_S:
            if not lease.keep():
                self.lost(lease)
                return
            self._kept_at = now
        if now - self._touched_at > TOUCH_S:
            self._stores.ledger.runs.touch(self._run)
            self._demand()
            self._touched_at = now
        try:
            if now - self._fed_at > FEED_S:
                self.feed(lease)
            if self._search.due(progress, self._stores.nodes.losses()):
                self._look_for_messages(lease)
            if self.job.idempotent and progress.split_ended:
                self._copy_slow_chunks(lease)
        except Busy:
            self.lost(lease)

    def _look_for_messages(self, lease: Lease) -> None:
        """Publish again what is to be done and has no message anywhere."""
        if not self.publishing.acquire(blocking=False):
            self._search.look_soon()
            return
        try:
            ledger = self._stores.ledger
            self._demand()
            unsettled = set(ledger.chunks.unsettled(self._run))
            wanted: set[Unit] = {*unsettled}
            wanted |= {
                Partial(0, batch)
                for batch, chunks in ledger.partials.open_batches(self._run).items()
                if unsettled.isdisjoint(chunks)
            }
            queue = keys.queue(self.label)
            ids = failure_detector.messages(self._stores, self._run, queue)
            abouts = filter(None, map(TaskId.parse, ids))
            there = {unit for run, units in abouts if run == self._run for unit in units}
            lost = self._search.missing(wanted - there)
            for unit in lease.redeliver(lost, "redelivered", "its message was lost") if lost else []:
                log.warning(
                    "run %s: the message of %s was lost; published again",
                    self._run, names.described(unit),
                    extra={"event": "redelivered", "run": self._run, "chunk": str(unit)},
                )  # fmt: skip
                publish.redeliver(self._app, self.label, self._run, unit, self.policy.limits)
        finally:
            self.publishing.release()

    def _copy_slow_chunks(self, lease: Lease) -> None:
        """Begin a second time what would keep the run waiting, where nodes have nothing else to do."""
        ledger = self._stores.ledger
        running = ledger.chunks.running(self._run)
        if not running or len(running) < ledger.chunks.count_unsettled(self._run):  # some wait in the queue
            return
        free = {node.name: node for node in self._stores.nodes.nodes() if _has_room(node, self.label)}
        pace = ledger.chunks.pace(self._run)
        room = sum(_room(node) for node in free.values())
        for chunk in sorted(running, key=lambda chunk: -chunk.seconds):
            others = [pace[name] for name in free.keys() & pace.keys() if name != chunk.worker.node]
            if room and others and is_slow(chunk, pace.get(chunk.worker.node), min(others)):
                why = f"{chunk.seconds:.1f} s so far; {min(others):.1f} s elsewhere"
                if lease.copy(chunk.chunk, chunk.worker.node, why):
                    log.info(
                        "run %s: chunk %s is slow on %s (%s); begun elsewhere as well",
                        self._run, chunk.chunk, chunk.worker.node, why,
                        extra={
                            "event": "speculative-copy", "run": self._run,
                            "chunk": chunk.chunk, "node": chunk.worker.node,
                        },
                    )  # fmt: skip
                    publish.publish_chunk(self._app, self.label, self._run, chunk.chunk, self.policy.limits)
                    room -= 1


class Search:
    """When to look for lost messages, and which of those seen nowhere are lost."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._losses = -1
        self._changed_at = self._complete_at = 0.0
        self._patience_s = STALLED_S
        self._suspects: dict[Unit, float] = {}
        self._soon = False

    def look_soon(self) -> None:
        """Something may have happened that loses messages."""
        self._soon = True

    def due(self, progress: Progress, losses: int) -> bool:
        """Whether to look now: after a node was lost, while messages are suspected to be, and where nothing moves."""
        now = time.monotonic()
        if progress != self._progress:
            self._progress, self._changed_at, self._patience_s = progress, now, STALLED_S
        if progress.batches_complete == progress.batches_aggregated:
            self._complete_at = now
        due = self._soon or bool(self._suspects) or losses != self._losses
        due |= now - self._complete_at > UNAGGREGATED_S
        if now - self._changed_at > self._patience_s:
            self._patience_s = min(2 * self._patience_s, MOST_STALLED_S)
            self._changed_at = now
            due = True
        self._soon, self._losses = False, losses
        return due

    def missing(self, nowhere: set[Unit]) -> list[Unit]:
        """Of those that are nowhere now, the ones that have been for ``MISSING_S``; they are suspects no more."""
        now = time.monotonic()
        self._suspects = {unit: self._suspects.get(unit, now) for unit in nowhere}
        lost = [unit for unit, since in self._suspects.items() if now - since >= MISSING_S]
        for unit in lost:
            del self._suspects[unit]
        return lost


def is_slow(chunk: Running, pace_s: float | None, elsewhere_s: float) -> bool:
    """Whether to begin a chunk a second time.

    Args:
        chunk: What is being worked on.
        pace_s: What its node takes for one, in the mean; None if it has done none.
        elsewhere_s: What the fastest free node takes.
    """
    if pace_s is not None and pace_s > SLOW_FACTOR * elsewhere_s and chunk.seconds < pace_s:
        return pace_s - chunk.seconds > max(WORTH_FACTOR * elsewhere_s, SLOW_FROM_S)
    return chunk.seconds > max(SLOW_FACTOR * elsewhere_s, elsewhere_s + SLOW_FROM_S)


def _has_room(node: Node, label: str) -> bool:
    return node.state == "online" and label in node.jobs and _room(node) > 0


def _room(node: Node) -> int:
    return (node.slots if node.slots_allowed is None else node.slots_allowed) - node.busy
