"""A run whose nodes the test plays: its chunks are entered in the ledger, and no message is ever published."""

from __future__ import annotations

import secrets
from typing import Any

from aggregators import by_name
from cluster import errors, keys, settings
from cluster.job import Job
from cluster.ledger import parts
from cluster.ledger.lease import Lease, Split
from cluster.ledger.records import Claim, Claims, Trigger, Worker
from cluster.ledger.row import RunPolicy
from cluster.option import Option
from cluster.stores import Stores
from cluster.wire import AggregateMessage, ChunkEntry, MapMessage
from cluster.worker import aggregate_parts, map_chunk
from splitters import Chunk
from tasks import Part


def lengths(chunk: Chunk, *, fail: str = "") -> Part[dict[str, str]]:
    if fail == "no failures told" and chunk[0].name == "item 1":
        return Part({}, None)  # type: ignore[arg-type]
    if fail == "other names":
        return Part({"item 99": "0"})
    if fail == "unpackable":
        return Part({"it": object()})  # type: ignore[dict-item]
    if fail and not (fail.startswith(("item", "no failures")) and fail != chunk[0].name):
        raise RuntimeError(fail)
    return Part({item.name: str(len(item.data)) for item in chunk})


JOB = Job(
    name="lengths",
    about="for this test",
    split=lambda source, chunk_size=1: iter(()),
    task=lengths,
    aggregate=by_name.join,
    options=(Option("fail", str, "", "why to fail"),),
)
CONFIG = settings.Settings()
POLICY = RunPolicy(max_attempts=3, retry_delay_s=1, time_limit_s=60)


def finding(job: Job) -> map_chunk.Find:
    """A node that has this job, and takes each run for one of it."""
    return lambda name, version: job


def lacking(why: str) -> map_chunk.Find:
    """A node that has no job."""

    def find(name: str, version: str) -> Job:
        raise errors.JobUnavailable(why)

    return find


def on(node: str) -> Worker:
    return Worker(f"worker@{node}", f"incarnation-of-{node}")


class Run:
    """A run whose chunks are entered and not published: the test plays the node.

    Chunk n has one item, "item n", of n bytes; or of ``items`` items the m-th is "item n.m", of m bytes.
    """

    def __init__(
        self, stores: Stores, batches: int = 1, batch_chunks: int = 2, items: int = 1, trigger: Trigger = "chord",
        policy: RunPolicy = POLICY, **options: Any,
    ) -> None:  # fmt: skip
        self.run = f"test-{secrets.token_hex(4)}"
        self.stores = stores
        self.batch_chunks = batch_chunks
        self.items = items
        stores.ledger.runs.create(self.run, "lengths", "", options, "test", policy=policy)
        self.lease = Lease.take(stores.ledger, self.run, "test", "splitter")
        for batch in range(batches):
            chunks = range(batch * batch_chunks, (batch + 1) * batch_chunks)
            entries = [self.upload(chunk, batch) for chunk in chunks]
            self.lease.open_batch(Split(chunks=chunks[0], batches=batch), entries, {}, 0, trigger)

    def upload(self, chunk: int, batch: int) -> ChunkEntry:
        lengths = {f"item {chunk}": chunk} if self.items == 1 else {f"item {chunk}.{m}": m for m in range(self.items)}
        refs = self.stores.blobs.put(keys.input_scope(self.run, chunk), [b"x" * length for length in lengths.values()])
        last = [True] * len(lengths)
        return ChunkEntry(names=list(lengths), refs=[tuple(ref) for ref in refs], last=last, batch=batch)

    def do(self, *chunks: int, node: str = "n1") -> map_chunk.TryAgain | str:
        """What the node says of a message with these chunks."""
        message = MapMessage(run=self.run, chunks=list(chunks))
        return map_chunk.run(message, finding(JOB), self.stores, CONFIG, on(node))

    def claim(self, chunk: int, node: str) -> Claim:
        claims = self.claims([chunk], node)
        return claims.of.get(chunk, Claim(claims.state))

    def claims(self, chunks: list[int], node: str) -> Claims:
        return self.stores.ledger.chunks.claim(self.run, chunks, on(node))

    def aggregate(self, level: int, number: int) -> AggregateMessage | aggregate_parts.Rejected | str:
        message = AggregateMessage(run=self.run, level=level, number=number)
        return aggregate_parts.run(message, finding(JOB), self.stores, CONFIG, on("n1"))

    def end_split(self, chunks: int, batches: int) -> str:
        self.lease.end_split(Split(chunks=chunks, batches=batches, items=chunks), {}, 0)
        return str(self.status.state)

    def events(self) -> list[tuple[str, str]]:
        return [(event.event, event.chunk) for event in self.stores.ledger.runs.events(self.run)]

    def result(self) -> Any:
        return JOB.result(parts.of_run(self.run, JOB, self.stores), {})

    @property
    def status(self) -> Any:
        return self.stores.ledger.runs.status(self.run)
