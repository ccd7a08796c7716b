"""The store of this node's site: parts of a round lie there until one of its nodes joins them."""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import Any, NamedTuple

import redis

from cluster import blobs, errors, keys, names, redis_client, wire
from cluster.blobs import BlobStore, Ref, measured
from cluster.blobs.measured import Measured
from cluster.blobs.redis import RedisBlobs
from cluster.rounds import Bound
from cluster.settings import Settings
from cluster.wire import ChunkEntry, Note
from cluster.worker import seats

TIMEOUT_S = 2.0
"""Seconds without progress after which a store counts as dead, and the hub takes its place."""
KEEP_S = 3600
"""Seconds for which a part stays in the store of a site, if nobody drops it before: longer than a round."""
LEAST_BYTES = 1024
"""A part with fewer bytes goes to the hub, as a note about it has some hundred itself."""
AWAY = (redis.RedisError, OSError)
log = logging.getLogger(__name__)


class Edge(NamedTuple):
    """A store that nodes of one site share."""

    digest: str
    blobs: BlobStore
    last: dict[str, int]
    """Run -> the batch that this process has put a part of last."""

    def put(self, run: str, batch: int, packed: bytes) -> Ref | None:
        """Put a part that is packed; None where the store does not take it.

        The parts of the batch before go, as its round is closed.
        """
        try:
            if (before := self.last.get(run, batch)) != batch:
                self.blobs.drop(keys.parts_scope(run, before))
            self.last[run] = batch
            [ref] = self.blobs.put(keys.parts_scope(run, batch), [packed], KEEP_S)
        except AWAY as error:
            log.warning(
                "run %s: the store of this site does not take a part, so it goes to the broker: %s", run, error,
                extra={"event": "edge-away", "run": run},
            )  # fmt: skip
            return None
        return ref

    def forget(self, run: str) -> None:
        """Drop what this process has put last for a run, as that is over. What is left expires."""
        if (batch := self.last.pop(run, None)) is not None:
            with contextlib.suppress(*AWAY):
                self.blobs.drop(keys.parts_scope(run, batch))

    def join(self, run: str, entry: ChunkEntry, notes: list[Note], bound: Bound, max_bytes: int) -> dict[str, Any]:
        """Join parts that lie here; gives the value, the shards that are ``joined``, and ``odd``: shard -> why not.

        Whatever is wrong here does not get better on another node of the site, so it is told and not raised.
        """
        values, odd = {}, {}
        scope = keys.parts_scope(run, entry.batch)
        try:
            found = blobs.get(self.blobs, scope, [Ref(note.sha256, note.size_bytes) for note in notes])
        except AWAY as error:
            why = f"the store of its site cannot be read: {error}"
            return {"value": None, "joined": [], "odd": {note.shard: why for note in notes}, "lost_edge": self.digest}
        for note, data in zip(notes, found, strict=True):
            try:
                if isinstance(data, errors.BlobError):
                    raise data
                values[note.shard] = wire.unpack(data, max_bytes)["value"]
            except (errors.BlobError, ValueError, TypeError, LookupError) as error:
                odd[note.shard] = f"its part cannot be read in the store of its site: {error}"
        try:
            value = bound.join(values) if values else None
        except ValueError as error:
            odd |= dict.fromkeys(values, f"the parts of its site cannot be joined: {error}")
            value, values = None, {}
        return {"value": value, "joined": sorted(values), "odd": odd}


def own(config: Settings) -> Edge | None:
    """The store of this node's site; None without one. Connects on first use."""
    return None if config.edge_url is None else _edge(config.edge_url.get_secret_value())


def forget(config: Settings, run: str) -> None:
    """A run is over: what this process has put into the store of its site for it goes."""
    if (found := own(config)) is not None:
        found.forget(run)


def places(config: Settings) -> list[str]:
    """Where this node is, for chunks that are done in one place alone."""
    store = [] if config.edge_url is None else [names.edge(config.edge_url.get_secret_value())]
    return [*store, names.ring_place(site)] if (site := seats.own_site(config)) else store


@functools.cache
def _edge(url: str) -> Edge:
    client = redis_client.connect(url, patient=False, timeout_s=TIMEOUT_S)
    return Edge(names.edge(url), Measured(RedisBlobs(client), measured.EDGE), {})
