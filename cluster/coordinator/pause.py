"""Pause a run. Imports no Celery: a client that only pauses a run need not load it."""

from __future__ import annotations

from cluster import keys
from cluster.messaging import queues
from cluster.stores import Stores


def pause(run: str, stores: Stores, why: str) -> str:
    """Begin no more chunks of a run, and take its messages out of the queue; a supervisor misses them when it goes on.

    Returns:
        As ``Runs.pause``.
    """
    state = stores.ledger.runs.pause(run, why)
    if state == "running":
        queues.take_back(stores, keys.queue(stores.ledger.runs.requirement(run)), {run})
    return state
