"""Keep a run's lease, feed its queue, and look again and again for lost messages and slow chunks."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

import kombu.exceptions
import redis

from cluster import errors, keys
from cluster.coordinator import backlog, lost_messages, stragglers
from cluster.coordinator.lost_messages import Search
from cluster.job import Job
from cluster.ledger.lease import LEASE_S, Busy, Lease, Role
from cluster.messaging import delays, queues
from cluster.nodes import wanted
from cluster.nodes.registry import Node
from cluster.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from celery import Celery

    from cluster.coordinator.checkpoints import Checkpoints
    from cluster.coordinator.rounds import Driver
    from cluster.ledger.records import Progress

TICK_S = 0.25
KEEP_S = LEASE_S / 6
TOUCH_S = 60.0
FEED_S = 1.0
"""Between two looks at the slots there are, and at the runs that share them."""
LEAVE_S = 2.0
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
        save: The folder of this machine for the checkpoints of a run in rounds.
    """

    def __init__(
        self, app: Celery, job: Job, run: str, stores: Stores, owner: str, role: Role, save: Path | None = None
    ) -> None:  # fmt: skip
        self._app = app
        self.job = job
        self._run = run
        self._stores = stores
        self._owner = owner
        self._role = role
        self._checkpoints = self._checkpoints_in(save) if save else None
        self.requirement = stores.ledger.runs.requirement(run) or job.capability
        """The capability that a node needs to do the run."""
        self.policy = stores.ledger.runs.policy(run)
        """The limits that the run's submitter has set."""
        self.publishing = threading.Lock()
        """Held while messages are published: what is half published does not count as lost."""
        self.held: Lease | None = None
        """The run's lease, unless it is known to be another's."""
        self.is_taken_up = False
        """The run was stopped before: that messages are missing then is no news."""
        self._driver: Driver | None = None
        self._taking = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name=f"supervise {run}", daemon=True)
        self._kept_at = self._touched_at = time.monotonic()
        self._fed_at = 0.0
        self._nodes: list[Node] = []
        self._others: list[str] = []  # requirements of the runs that share them
        self._search = Search()
        self._pace: Mapping[str, float] = {}
        self._paced_at = -1  # chunks that were settled then

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._driver is not None:
            self._driver.stop(LEAVE_S)
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
                self._want()
                self._fed_at = 0.0
                self.feed(lease)  # so that it knows of others before it publishes
                self.held = lease
                self._kept_at = time.monotonic()
                self._search = Search()
                log.info(
                    "run %s: coordinated here from now on", self._run, extra={"event": "coordinator", "run": self._run}
                )
            return self.held

    def _checkpoints_in(self, folder: Path) -> Checkpoints:
        from cluster.coordinator.checkpoints import Checkpoints

        return Checkpoints(folder, self._run, self._stores)

    def _want(self) -> None:
        """Have nodes that can serve the run's requirement do so; again, as Redis may have lost it."""
        if self.requirement != self.job.capability:
            wanted.enter(self._stores.redis, self.requirement, self._run)

    def feed(self, lease: Lease) -> None:
        """Have the nodes get what the run has published, as far as its share of the slots goes.

        Raises:
            Busy: The lease is another's.
        """
        if time.monotonic() - self._fed_at > FEED_S:
            self._nodes, self._fed_at = self._stores.nodes.nodes(), time.monotonic()
        share, slots = backlog.share(self._nodes, self.requirement, self._others)
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
                # Who reads the input takes the lease of one that does not, as it should be.
                level = logging.WARNING if self._role == "splitter" else logging.INFO
                told = {"event": "lease-lost", "run": self._run}
                log.log(level, "run %s: another one coordinates it now", self._run, extra=told)

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
        """If the run is over, remove what is left of its messages, those of speculative copies for example."""
        ledger = self._stores.ledger
        with contextlib.suppress(redis.RedisError, errors.RunFailed):
            if ledger.runs.progress(self._run).state != "running":
                queues.unsend(self._stores, keys.queue(self.requirement), {self._run})

    def _tick(self) -> None:
        progress = self._stores.ledger.runs.progress(self._run)
        if progress.state != "running":
            raise errors.RunOver(progress.state)
        delays.release(self._stores.redis)
        if self._is_paused(progress):
            return
        lease = self.lease()
        now = time.monotonic()
        if now - self._kept_at > KEEP_S and not self._keep(lease):
            return
        if now - self._touched_at > TOUCH_S:
            self._stores.ledger.runs.touch(self._run)
            self._want()
            self._touched_at = now
        try:
            if now - self._fed_at > FEED_S:
                self.feed(lease)
            if self._search.due(progress, self._stores.nodes.losses()):
                self._look_for_messages(lease)
            if self.job.rounds:
                self._drive(lease, progress)
            elif self.job.idempotent and progress.split_ended:
                self._speculate(lease, progress)
        except Busy:
            self.lost(lease)

    def _is_paused(self, progress: Progress) -> bool:
        """Whether the run is paused: then nothing of it is published. Only who has its input keeps the lease."""
        if progress.paused:
            self.is_taken_up = True
            self._search.look_soon()  # nodes drop its messages
            if self._role == "supervisor" and self.held is not None:
                self.step_back()
            elif self.held is not None and time.monotonic() - self._kept_at > KEEP_S:
                self._keep(self.held)
        return progress.paused

    def _keep(self, lease: Lease) -> bool:
        if not lease.keep():
            self.lost(lease)
            return False
        self._kept_at = time.monotonic()
        return True

    def _speculate(self, lease: Lease, progress: Progress) -> None:
        """Begin slow chunks elsewhere as well. The pace of nodes is read again when a chunk has been settled."""
        if progress.chunks_settled != self._paced_at:
            self._pace, self._paced_at = self._stores.ledger.chunks.pace(self._run), progress.chunks_settled
        unsettled = progress.chunks_published - progress.chunks_settled
        stragglers.speculate(
            self._app, self._stores, lease, self.requirement, self.policy.limits, unsettled, self._pace
        )

    def _drive(self, lease: Lease, progress: Progress) -> None:
        """See that a run in rounds has a driver with this lease."""
        if not progress.split_ended or (self._driver and self._driver.lease is lease and self._driver.is_alive):
            return
        from cluster.coordinator.rounds import Driver, Tools

        tools = Tools(self._app, self._stores, self.requirement, self.publishing, self.feed, self._checkpoints)
        self._driver = Driver(self.job, self._run, lease, tools)
        self._driver.start()

    def _look_for_messages(self, lease: Lease) -> None:
        """Publish again what is to be done and has no message anywhere."""
        if not self.publishing.acquire(blocking=False):
            self._search.look_soon()
            return
        try:
            self._want()
            lost_messages.redeliver(
                self._app, self._stores, lease, self._search, self.requirement, self.policy.limits,
                stopped=self.is_taken_up,
            )  # fmt: skip
        finally:
            self.publishing.release()
