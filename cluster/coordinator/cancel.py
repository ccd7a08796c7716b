"""End a run before its end. Imports no Celery: a client that only stops a run need not load it."""

from __future__ import annotations

from cluster import keys
from cluster.messaging import queues
from cluster.stores import Stores


def cancel(
    run: str, stores: Stores, reason: str, state: str = "cancelled", fence: str | None = None
) -> tuple[bool, str]:
    """End a run now. Chunks that are being done end without effect; their input is dropped, and
    the messages that wait for a node.

    Returns:
        Whether this call did it, and the state the run is in.
    """
    did, now = stores.ledger.runs.stop(run, state, reason, fence)
    if did:
        for chunk in stores.ledger.chunks.unsettled(run):
            stores.blobs.drop(keys.input_scope(run, chunk))
        for batch in stores.ledger.partials.open_batches(run):
            stores.blobs.drop(keys.parts_scope(run, batch))
        row = stores.ledger.runs.row(run, "round")
        if row and row.round is not None:  # its shards, states and views, and parts that came too late
            stores.blobs.drop_below([keys.run_folder(run)])
        stores.ledger.runs.forget_work(run)
        queues.unsend(stores, keys.queue(stores.ledger.runs.requirement(run)), {run})
    return did, now
