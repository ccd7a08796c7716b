"""Remove runs that are over before they expire: their ledger, their blobs, their messages that still wait."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from cluster import errors, keys
from cluster.ledger.status import Status
from cluster.messaging import queues
from cluster.nodes import wanted
from cluster.stores import Stores

log = logging.getLogger(__name__)


def ended(stores: Stores, older_than_s: float = 0) -> list[Status]:
    """List the runs that ended at least ``older_than_s`` seconds ago by Redis's clock, newest first."""
    now = stores.ledger.runs.now()
    runs = stores.ledger.runs.latest(sys.maxsize)
    return [run for run in runs if run.finished_at and (now - run.finished_at).total_seconds() >= older_than_s]


def prune(stores: Stores, runs: Sequence[Status]) -> list[Status]:
    """Remove these runs, but for those that are running now, and what expired runs left in the blob store.

    Gives the runs it removed. Cut short, it is finished by a second call. Celery's counters of their chords
    are not ours to find; they expire within an hour.
    """
    over = [run for run in runs if _is_over(run.run, stores)]
    names = {*(run.run for run in over), *stores.ledger.runs.expired()}
    for requirement in {run.requirement for run in over}:
        queues.unsend(stores, keys.queue(requirement), names)
    queues.sweep(stores, keys.queue("*@*"))
    wanted.read(stores)
    stores.blobs.drop_below([keys.run_folder(name) for name in names])
    stores.ledger.runs.forget(names)
    for run in over:
        log.info("run %s is removed", run.run, extra={"event": "run-removed", "run": run.run})
    return over


def _is_over(run: str, stores: Stores) -> bool:
    try:
        return stores.ledger.runs.progress(run).state != "running"
    except errors.RunFailed:  # gone meanwhile
        return False
