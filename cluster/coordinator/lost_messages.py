"""Find messages of a run that are lost, and redeliver them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cluster import keys, names
from cluster.ledger.lease import Lease
from cluster.ledger.records import Progress
from cluster.ledger.row import Limits
from cluster.messaging import publish, queues
from cluster.names import Partial, TaskId, Unit
from cluster.stores import Stores

if TYPE_CHECKING:
    from celery import Celery

MISSING_S = 0.8
"""Seconds that a message is seen nowhere before it counts as lost: a node may just be taking it."""
UNAGGREGATED_S = 1.0
"""A batch that has been complete for this many seconds may have lost the message that aggregates it."""
STALLED_S = 2.0
"""Seconds without progress of a run after which lost messages are looked for; the wait doubles with each look."""
MOST_STALLED_S = 60.0
log = logging.getLogger(__name__)


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
        """Return the units that have been ``nowhere`` for ``MISSING_S``, and drop them from the suspects."""
        now = time.monotonic()
        self._suspects = {unit: self._suspects.get(unit, now) for unit in nowhere}
        lost = [unit for unit, since in self._suspects.items() if now - since >= MISSING_S]
        for unit in lost:
            del self._suspects[unit]
        return lost


def redeliver(
    app: Celery, stores: Stores, lease: Lease, search: Search, requirement: str, limits: Limits,
    stopped: bool = False,
) -> None:  # fmt: skip
    """Redeliver what is to be done and has no message anywhere.

    Args:
        app: To publish with.
        stores: Where the run is kept.
        lease: Of the run.
        search: Knows since when a message is seen nowhere.
        requirement: What a node must serve to do the run.
        limits: Of the run's messages.
        stopped: The run was stopped meanwhile, so that this is no news.

    Raises:
        Busy: The lease is another's.
    """
    ledger = stores.ledger
    unsettled = set(ledger.chunks.unsettled(lease.run))
    wanted: set[Unit] = {*unsettled}
    wanted |= {
        Partial(0, batch)
        for batch, row in ledger.partials.open_batches(lease.run).items()
        if row.trigger != "driver" and unsettled.isdisjoint(row.chunks)
    }
    queue = keys.queue(requirement)
    ids = queues.messages(stores, lease.run, queue)
    abouts = filter(None, map(TaskId.parse, ids))
    there = {unit for run, units in abouts if run == lease.run for unit in units}
    lost = search.missing(wanted - there - _stayed_for(stores, lease.run))
    why = "the run was stopped" if stopped else "its message was lost"
    for unit in lease.redeliver(lost, "redelivered", why) if lost else []:
        log.log(
            logging.DEBUG if stopped else logging.WARNING, "run %s: the message of %s was lost; redelivered",
            lease.run, names.described(unit),
            extra={"event": "redelivered", "run": lease.run, "chunk": str(unit)},
        )  # fmt: skip
        publish.redeliver(app, requirement, lease.run, unit, limits)


def _stayed_for(stores: Stores, run: str) -> set[Unit]:
    """Chunks that slots do without a message, as long as the node of the claim holds the message that its slot came by.

    That of a dead node is back in the queue, where a slot that stays does not look.
    """
    staying = stores.ledger.rounds.staying(run)
    if not staying:
        return set()
    holder = {claimed.chunk: claimed.worker.incarnation for claimed in stores.ledger.chunks.running(run)}
    held = {incarnation: queues.held(stores, run, incarnation) for incarnation in set(holder.values())}
    return {chunk for message_of, chunk in staying.items() if message_of in held.get(holder.get(chunk, ""), ())}
