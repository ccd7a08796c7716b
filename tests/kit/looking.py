"""What has become of the latest run: to be asked by ``wait_until``."""

from __future__ import annotations

from cluster import keys
from cluster.messaging import queues
from cluster.stores import Stores


def begun(stores: Stores, chunks: int = 1) -> str:
    """The latest run, if it is going on and so many of its chunks are settled; else ""."""
    latest = stores.ledger.runs.latest(1)
    return latest[0].run if latest and latest[0].state == "running" and latest[0].chunks_settled >= chunks else ""


def published(stores: Stores, chunks: int) -> str:
    """The latest run, if it is going on and just so many of its chunks are published; else ""."""
    latest = stores.ledger.runs.latest(1)
    return latest[0].run if latest and latest[0].state == "running" and latest[0].chunks_published == chunks else ""


def no_message_is_left(stores: Stores, run: str) -> bool:
    """Whether none of a run of the job ``measure`` is in its outbox or queue, or held by a node."""
    ids = queues.messages(stores, run, keys.queue("measure"))
    return not any(found.startswith(f"{run}.") for found in ids)
