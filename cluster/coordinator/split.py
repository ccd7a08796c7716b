"""Read the input of a run: split it, upload it, publish it in batches, and wait for the end of the run."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import kombu.exceptions

from cluster import blobs, errors, keys, redis_client
from cluster.coordinator.backlog import Backlog
from cluster.coordinator.pace import Pace
from cluster.coordinator.supervise import Supervisor
from cluster.inputs import Paths, Source, for_splitter, sift
from cluster.job import Job
from cluster.ledger.lease import Busy, Lease, OutOfStep, Split
from cluster.messaging import publish
from cluster.settings import Settings
from cluster.stores import Stores
from cluster.wire import ChunkEntry
from splitters import Chunk, PassedOver
from splitters.items import Chosen, Items
from splitters.spool import Sent

if TYPE_CHECKING:
    import redis
    from celery import Celery

    from cluster.ledger.records import Progress
    from cluster.wire import ShardEntry

Answer = TypeVar("Answer")
POLL_S = 0.05
WAIT_S = 0.2
"""Seconds between two calls of ``on_wait`` for a run that is published whole."""
QUIET_LOOK_S = 1.0
"""Seconds between two looks at such a run; after an event, as its end is one, the next look comes at once."""
MEMORY_LOOK_S = 0.5
BATCH_OPEN_S = 0.25
"""A batch that is not full is published after this many seconds if the nodes may run out of work."""
TINY = 4
"""A batch of chunks that travel together holds up to this many times as many."""
HUNGRY_S = 0.1
"""Seconds after which a batch that is not full is published if no chunk waits for the nodes."""
log = logging.getLogger(__name__)


class Coordinator:
    """Brings one run to its end. ``on_wait`` is called some times a second while it waits.

    All that it knows stands in the ledger after each batch, so another one with the same input can go on where it
    ended: the splitter gives the same chunks again, and those that are entered already are only compared.
    """

    def __init__(
        self,
        app: Celery,
        job: Job,
        run: str,
        stores: Stores,
        config: Settings,
        supervisor: Supervisor,
        on_wait: Callable[[], None],
    ) -> None:
        self._app = app
        self._job = job
        self._run = run
        self._stores = stores
        self._ledger, self._blobs = stores.ledger, stores.blobs
        self._config = config
        self._supervisor = supervisor
        self._policy = supervisor.policy
        self._on_wait = on_wait
        self._backlog = Backlog(stores, config, run, supervisor.requirement)
        self._pace = Pace(self._ledger.chunks, run, self._backlog)
        self._memory = Memory(stores.redis, config.memory_share, run)
        self._begin()

    def _begin(self) -> None:
        self._lease: Lease | None = None
        self._entered = Split()  # what stands in the ledger
        self._read = Split()  # what is read: chunks_read, items and digest run ahead of the ledger
        self._progress: Progress | None = None
        self._looked_at = 0.0
        self._limit_bytes = 0
        self._batch: list[ChunkEntry] = []  # uploaded, not yet entered
        self._batch_bytes = 0
        self._failures: dict[str, str] = {}  # items that could not be read, not yet entered
        self._unreadable = 0
        self._opened_at = 0.0

    def coordinate(self, read: Callable[[], Iterable[Chunk]], passed_over: PassedOver | None = None) -> str:
        """Publish all chunks that are not yet, wait for the end; gives the state the run ended in.

        Args:
            read: Gives the chunks; called again where Redis has forgotten what was entered last.
            passed_over: What is left out of the input, once all chunks are read.

        Raises:
            errors.InputChanged: The chunks are not those that the run was begun with; the run goes on without us.
            errors.RunFailed: The run vanished from Redis.
            redis.RedisError: Redis refuses, or stayed away for too long.
        """
        while True:
            try:
                self._split(read, passed_over or PassedOver())
                return self.wait()
            except OutOfStep:
                log.warning(
                    "run %s: Redis has forgotten what was entered last; the input is read again from there",
                    self._run, extra={"event": "out-of-step", "run": self._run},
                )  # fmt: skip
                self._begin()

    def _split(self, read: Callable[[], Iterable[Chunk]], passed_over: PassedOver) -> None:
        try:
            self._entered = self._fenced(Lease.split)
            if not self._entered.ended and self._job.rounds:
                self._begin_rounds(read())
            elif not self._entered.ended and self._publish_all(read()):
                self._flush(last=True)
                at, left_out = self._position(), passed_over.shown()
                self._fenced(lambda lease: lease.end_split(at, self._failures, self._unreadable, left_out))
                self._entered = self._entered._replace(ended=True)
        except Busy:
            self._entered = Split()
            self._supervisor.step_back()
            self._batch = []  # its blobs are the other one's by now
            log.warning(
                "run %s: another one reads its input now; waiting for its result",
                self._run, extra={"event": "lease-lost", "run": self._run},
            )  # fmt: skip
        except errors.RunOver:
            pass
        finally:
            self._drop_uploaded()

    def _drop_uploaded(self) -> None:
        """Drop what is uploaded and not entered, unless another one goes on: it uploads to the same place."""
        if self._batch and self._lease is not None and (self._is_over() or self._is_ours(self._lease)):
            for at in range(len(self._batch)):
                self._blobs.drop(keys.input_scope(self._run, self._entered.chunks + at))

    def _is_over(self) -> bool:
        try:
            return self._ledger.runs.progress(self._run).state != "running"
        except errors.RunFailed:
            return True

    def _is_ours(self, lease: Lease) -> bool:
        return lease.keep() and lease.split() == self._entered

    def wait(self) -> str:
        """Wait for the end; gives the state the run ended in."""
        event, known = "", None
        while True:
            if event != known or time.monotonic() - self._looked_at > QUIET_LOOK_S:
                progress = self._look()
                if progress.state != "running":
                    return progress.state
            self._on_wait()
            known, event = event, self._ledger.runs.await_event(self._run, event, WAIT_S)

    def count_ahead(self, source: Source) -> None:
        """Count the items in the background, so that the time left can be told."""
        if isinstance(source, Sent):
            if source.number is not None and self._job.counts_files:  # about so many, until all have arrived
                self._ledger.runs.expect_items(self._run, source.number)
            threading.Thread(target=self._count, args=(source.again(),), daemon=True).start()
        elif isinstance(source, Chosen) or not isinstance(source, Items):
            threading.Thread(target=self._count, args=(source,), daemon=True).start()
        elif source.number is not None and not self._job.cuts_items:
            self._ledger.runs.expect_items(self._run, source.number)

    def _count(self, source: Paths | Items) -> None:
        try:
            row = self._ledger.runs.row(self._run, "options")
            number = self._job.count_items(for_splitter(source), row.options if row else {})
            if number is not None:
                self._ledger.runs.expect_items(self._run, number)
        except Exception as error:  # noqa: BLE001 - without it only the time left is missing
            log.debug("counting the input failed: %s", error)

    def idle(self) -> None:
        """Called while the next chunk waits for more input to arrive: nothing is held back meanwhile.

        Raises:
            errors.RunOver: The run has ended.
        """
        if self._is_waited_for():
            self._flush()
        if time.monotonic() - self._looked_at >= POLL_S and self._look().state != "running":
            raise errors.RunOver(f"the run {self._run} is over")
        self._on_wait()

    def _publish_all(self, chunks: Iterable[Chunk]) -> bool:
        """False if the run ended meanwhile."""
        for chunk in chunks:
            if self._read.chunks_read < self._entered.chunks_read:
                self._compare(chunk)
                continue
            if self._is_full():  # not sooner: the last batch of the input is published as such
                self._flush()
            readable, problems = sift(chunk)
            if readable:
                if not self._wait_for_room(sum(len(item.data) for item in readable)):
                    return False
                sha256s = self._upload(readable)
            else:
                sha256s = []
            self._failures |= problems
            self._unreadable += sum(item.last for item in chunk if item.problem)
            self._count_chunk(chunk, sha256s)
            if self._is_waited_for():
                self._flush()
        if self._read.chunks_read < self._entered.chunks_read:
            raise errors.InputChanged(_changed(self._run, self._read.chunks_read))
        return True

    def _begin_rounds(self, chunks: Iterable[Chunk]) -> None:
        """Upload the whole input, and enter the first round; the driver of the run publishes it."""
        from cluster.coordinator import begin_rounds
        from cluster.rounds import Bound, about_of

        shards: list[ShardEntry] = []
        uploads = begin_rounds.Uploads(self._run, self._stores, self._policy)
        about = b""
        for chunk in chunks:
            readable, problems = sift(chunk)
            if not shards:
                about = about_of(readable)
            if (shard := uploads.add(readable, self._wait_for_memory)) is None:
                return
            self._failures |= problems
            self._unreadable += sum(item.last for item in chunk if item.problem)
            self._count_chunk(chunk, [sha256 for sha256, _ in shard.refs])
            shards.append(shard)
        row = self._ledger.runs.row(self._run, "options")
        bound = Bound(self._job, row.options if row else {}, about)
        now_ms = int(self._ledger.runs.now().timestamp() * 1000)
        first = begin_rounds.first(self._run, bound, shards, self._stores, self._policy, now_ms)
        at = self._position()
        self._fenced(
            lambda lease: lease.begin_rounds(
                at,
                shards,
                first.standing.packed(),
                first.standing.views,
                first.entries,
                first.rounds,
                self._failures,
                self._unreadable,
            )
        )
        self._entered = self._fenced(Lease.split)

    def _wait_for_memory(self, size_bytes: int) -> bool:
        """Hold until Redis has room; False if the run ended."""
        while not self._memory.has_room(size_bytes):
            if self._look().state != "running":
                return False
            self._pause()
        return True

    def _compare(self, chunk: Chunk) -> None:
        """Go over a chunk that is entered already."""
        self._count_chunk(chunk, [blobs.address(item.data).sha256 for item in chunk if not item.problem])
        if self._read.chunks_read == self._entered.chunks_read and self._read.digest != self._entered.digest:
            raise errors.InputChanged(_changed(self._run, self._read.chunks_read))

    def _count_chunk(self, chunk: Chunk, sha256s: list[str]) -> None:
        """The digest chains the names and bytes of all items: it tells whether an input is the same as before."""
        digest = hashlib.sha256(self._read.digest.encode())
        for item in chunk:
            digest.update(f"{item.name}\0{bool(item.problem)}\0{item.last}\0".encode("utf-8", "surrogateescape"))
        digest.update(" ".join(sha256s).encode())
        self._read = self._read._replace(
            chunks_read=self._read.chunks_read + 1,
            items=self._read.items + sum(item.last for item in chunk),
            digest=digest.hexdigest(),
        )

    def _position(self) -> Split:
        entered = self._entered
        return self._read._replace(chunks=entered.chunks, batches=entered.batches, size_bytes=entered.size_bytes)

    def _is_full(self) -> bool:
        """Small batches first, so that the nodes begin while the input is still being read.

        Large chunks come few to a batch: their parts are likely large, and are joined while others are worked on.
        """
        most = min(
            self._config.batch_chunks * min(self._pace.chunks_per_message, TINY),
            4 * 2**self._entered.batches if self._entered.batches < 16 else 2**20,
        )
        return len(self._batch) >= most or self._batch_bytes >= self._limit_bytes // 2

    def _upload(self, chunk: Chunk) -> list[str]:
        """Add a chunk to the batch, its bytes to the blob store if they are many; gives their sha256."""
        scope = keys.input_scope(self._run, self._entered.chunks + len(self._batch))
        data = [item.data for item in chunk]
        inline = sum(map(len, data)) <= self._policy.inline_bytes
        refs = (
            [blobs.address(one) for one in data] if inline else self._blobs.put(scope, data, self._policy.retention_s)
        )
        entry = ChunkEntry(
            batch=self._entered.batches,
            names=[item.name for item in chunk],
            refs=[(ref.sha256, ref.size_bytes) for ref in refs],
            last=[item.last for item in chunk],
            data=data if inline else None,
            part_bytes=self._job.max_part_bytes(chunk),
        )
        if not self._batch:
            self._opened_at = time.monotonic()
        self._batch.append(entry)
        self._batch_bytes += entry.size_bytes
        return [ref.sha256 for ref in refs]

    def _flush(self, *, last: bool = False) -> None:
        """Enter the open batch in the ledger, then publish it."""
        if not self._batch:
            return
        self._pace.learn(self._entered.chunks, self._on_wait)
        with self._supervisor.publishing:
            before, at = self._entered, self._position()
            entered = self._fenced(lambda lease: lease.open_batch(at, self._batch, self._failures, self._unreadable))
            if entered is None:
                return  # the run is over, which the next look sees, too
            self._entered = entered
            messages = self._pace.messages(range(before.chunks, entered.chunks), last=last)
            try:
                requirement = self._supervisor.requirement
                publish.publish_batch(self._app, requirement, self._run, before.batches, messages, self._policy)
            except kombu.exceptions.OperationalError as error:
                log.warning("run %s: batch %s was not published: %s", self._run, before.batches, error)
                self._supervisor.look_soon()  # it is entered: what was not sent counts as lost
        self._batch, self._batch_bytes = [], 0
        self._failures, self._unreadable = {}, 0
        self._fenced(self._supervisor.feed)
        self._on_wait()

    def _fenced(self, act: Callable[[Lease], Answer]) -> Answer:
        """Do what only the holder of the lease may.

        If it was lost it is taken again, provided that nobody has read on meanwhile.

        Raises:
            Busy: It is another's.
        """
        lease = self._supervisor.lease()
        for _ in range(2):
            if self._lease not in (None, lease) and lease.split() != self._entered:
                raise Busy("another one has read on")
            self._lease = lease
            try:
                return act(lease)
            except Busy:
                self._supervisor.lost(lease)
                lease = self._supervisor.lease()
        raise Busy("the lease is taken away each time")

    def _wait_for_room(self, size_bytes: int) -> bool:
        """Hold until the chunk fits into the limits of what may be on its way; False if the run ended."""
        while True:
            self._limit_bytes, limit_chunks = self._backlog.limits(size_bytes, self._pace.chunks_per_message)
            progress = self._progress
            if progress is None or time.monotonic() - self._looked_at >= POLL_S:
                progress = self._look()
            if progress.state != "running":
                return False
            if progress.paused:
                self._pause()
                continue
            chunks = self._entered.chunks + len(self._batch) - progress.chunks_settled
            held_bytes = self._entered.size_bytes + self._batch_bytes - progress.bytes_settled
            fits = chunks == 0 or (chunks < limit_chunks and held_bytes + size_bytes <= self._limit_bytes)
            if fits and self._memory.has_room(size_bytes):
                return True
            if self._may_run_dry():
                self._flush()
            self._pause()

    def _is_waited_for(self) -> bool:
        open_s = time.monotonic() - self._opened_at
        return (open_s > BATCH_OPEN_S and self._may_run_dry()) or (open_s > HUNGRY_S and not self._waiting())

    def _may_run_dry(self) -> bool:
        """Whether no more waits for the nodes than what is held back: if not, the batch may still grow."""
        return self._waiting() <= len(self._batch)

    def _waiting(self) -> int:
        settled = self._progress.chunks_settled if self._progress else 0
        return self._backlog.waiting(self._entered.chunks - settled)

    def _look(self) -> Progress:
        progress = self._ledger.runs.progress(self._run)
        if progress.state == "running" and (
            progress.chunks_published < self._entered.chunks or (self._entered.ended and not progress.split_ended)
        ):
            raise OutOfStep
        self._progress, self._looked_at = progress, time.monotonic()
        return progress

    def _pause(self) -> None:
        self._on_wait()
        time.sleep(POLL_S)


class Memory:
    """Whether Redis has room for more input; says once that it has not, and once that it has again."""

    def __init__(self, client: redis.Redis, share: float, run: str) -> None:
        self._redis = client
        self._share = share
        self._run = run
        self._looked_at = 0.0
        self._free_bytes: float = 0
        self._waiting = False

    def has_room(self, size_bytes: int) -> bool:
        """Whether ``size_bytes`` fit into the share of Redis's memory that may be used."""
        now = time.monotonic()
        if now - self._looked_at > MEMORY_LOOK_S:
            self._free_bytes = redis_client.room(self._redis, self._share)
            self._looked_at = now
        fits = size_bytes <= self._free_bytes
        if fits:
            self._free_bytes -= size_bytes
        if fits == self._waiting:
            self._waiting = not fits
            text = (
                "has room again"
                if fits
                else f"uses {self._share:.0%} of the memory there is; publishing waits for room"
            )
            log.warning("run %s: Redis %s", self._run, text, extra={"event": "redis-memory", "run": self._run})
        return fits


def _changed(run: str, chunk: int) -> str:
    return (
        f"this is not the input that the run {run} was begun with (it differs within the first {chunk} chunks);"
        " name the same files and folders, or submit it as a run of its own"
    )
