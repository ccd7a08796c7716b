"""Runs that a page shows, whose nodes the test plays: entered in the ledger and done at once, without a worker."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from cluster import catalog, keys
from cluster.client.run import Belongs
from cluster.job import Job
from cluster.ledger.lease import Lease, Split
from cluster.stores import Stores
from cluster.wire import AggregateMessage, ChunkEntry, MapMessage
from cluster.worker import aggregate_parts, map_chunk
from splitters import Chunk
from tasks import Part
from tests.kit.pages import Visitor
from tests.kit.played_run import CONFIG, POLICY, finding, on
from tests.kit.waiting import wait_until

CHUNK_ITEMS = 100


class PageRun:
    """A run of a job of the catalog, of which the test says what each item becomes.

    Args:
        stores: Of the page's client.
        job: The job's name.
        values: Item -> its value in a part.
        failures: Item -> why it is missing.
        options: Of the run, besides the defaults.
        belongs: Whose it is.
    """

    def __init__(
        self, stores: Stores, job: str, values: Mapping[str, Any], failures: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None, belongs: Belongs | None = None,
    ) -> None:  # fmt: skip
        self.id = f"{job}-{secrets.token_hex(4)}"
        self._stores, self._values, self._failures = stores, values, dict(failures or {})
        real = catalog.get(job)
        self._job: Job = dataclasses.replace(real, task=self._told, bundles="", needs=())
        given = {**{option.name: option.default for option in real.options}, **(options or {})}
        stores.ledger.runs.create(self.id, job, real.version, given, "test", policy=POLICY, belongs=belongs)
        self._names: Sequence[str] = [*values, *self._failures]
        self._cut = [self._names[at : at + CHUNK_ITEMS] for at in range(0, len(self._names), CHUNK_ITEMS)]
        self._lease = Lease.take(stores.ledger, self.id, "test", "splitter")
        entries = [self._uploaded(chunk, names) for chunk, names in enumerate(self._cut)]
        self._lease.open_batch(Split(chunks=0, batches=0), entries, {}, 0, "chord")

    def do(self, chunk: int) -> None:
        """Have a node do a chunk, ``CHUNK_ITEMS`` items."""
        message = MapMessage(run=self.id, chunks=[chunk])
        told = map_chunk.run(message, finding(self._job), self._stores, CONFIG, on("pc1"))
        assert isinstance(told, str), told

    def end(self) -> PageRun:
        """Have nodes do all that is not done, join it, and end the run."""
        for chunk in range(len(self._cut)):
            self.do(chunk)
        message = AggregateMessage(run=self.id, level=0, number=0)
        aggregate_parts.run(message, finding(self._job), self._stores, CONFIG, on("pc1"))
        self._lease.end_split(Split(chunks=len(self._cut), batches=1, items=len(self._names)), {}, 0)
        state = self._stores.ledger.runs.status(self.id).state
        assert state == "done", state
        return self

    def _told(self, chunk: Chunk) -> Part[Any]:
        names = [item.name for item in chunk]
        return Part(
            {name: self._values[name] for name in names if name in self._values},
            {name: self._failures[name] for name in names if name in self._failures},
        )

    def _uploaded(self, chunk: int, names: Sequence[str]) -> ChunkEntry:
        refs = self._stores.blobs.put(keys.input_scope(self.id, chunk), [b"x"] * len(names))
        return ChunkEntry(names=list(names), refs=[tuple(ref) for ref in refs], last=[True] * len(names), batch=0)


def whole(visitor: Visitor, run: str, **query: Any) -> Any:
    """The results of a run on the page, once they are read."""

    def read() -> Any:
        shown = visitor.get(f"/runs/{run}/results.json", params=query)
        return shown if shown["is_whole"] else None

    return wait_until("its results are read", read, 20)
