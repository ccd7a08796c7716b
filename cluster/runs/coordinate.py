"""What the coordinator of a run does: split, upload, publish in windows, and see it through."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cluster import keys
from cluster.job import Job, Source, paths, sift
from cluster.runs import Stores, celery_tasks
from cluster.settings import Settings
from cluster.wire import ChunkEntry, FoldMessage
from splitters import Chunk

if TYPE_CHECKING:
    from celery import Celery

    from cluster.runs.ledger import Progress

POLL_S = 0.05
WINDOW_OPEN_S = 0.25
"""A window is published when it is full, or has been open for so long and the nodes may run out of work."""
TOUCH_S = 60.0
STALLED_S = 5.0
"""Windows that are complete and not folded for so long may have lost their chord's body: it is sent again."""
MOST_STALLED_S = 60.0
"""The body may only be waiting behind other work: it is sent again ever more seldom, down to this."""

log = logging.getLogger(__name__)


class Coordinator:
    """Brings one run to its end. ``on_wait`` is called many times a second while it waits."""

    def __init__(
        self, app: Celery, job: Job, run: str, stores: Stores, config: Settings, on_wait: Callable[[], None]
    ) -> None:
        self._app = app
        self._job = job
        self._run = run
        self._ledger, self._blobs = stores.ledger, stores.blobs
        self._config = config
        self._on_wait = on_wait
        self._chunks = self._windows = self._items = self._bytes = 0  # entered in the ledger so far
        self._settled = 0  # of these, when we looked last
        self._window: list[ChunkEntry] = []  # uploaded, not yet entered
        self._window_bytes = 0
        self._opened_at = 0.0
        self._touched_at = time.monotonic()

    def coordinate(self, chunks: Iterable[Chunk]) -> str:
        """Publish all chunks, wait for the end; gives the state the run ended in.

        Raises:
            errors.RunFailed: The run vanished from Redis.
            redis.RedisError, kombu.exceptions.OperationalError: Redis stayed away.
        """
        try:
            if self._publish_all(chunks):
                self._flush()
                self._ledger.end_split(self._run, chunks=self._chunks, windows=self._windows, items=self._items)
        finally:
            for at in range(len(self._window)):  # uploaded, not entered: nobody will ask for it
                self._blobs.drop(keys.input_scope(self._run, self._chunks + at))
        return self._see_through()

    def count_ahead(self, source: Source) -> None:
        """Count the items in the background, so that the time left can be told."""
        if self._job.count:
            counting = threading.Thread(target=self._count, args=(self._job.count, source), daemon=True)
            counting.start()

    def _count(self, count: Callable[..., int], source: Source) -> None:
        try:
            self._ledger.expect_items(self._run, count(paths(source)))
        except Exception as error:  # noqa: BLE001 - without it only the time left is missing
            log.debug("counting the input failed: %s", error)

    def _publish_all(self, chunks: Iterable[Chunk]) -> bool:
        """False if the run ended meanwhile."""
        for chunk in chunks:
            readable, problems = sift(chunk)
            if problems:
                self._ledger.fail_items(self._run, problems, sum(item.last for item in chunk if item.problem))
            self._items += sum(item.last for item in chunk)
            if readable:
                if not self._wait_for_room(sum(len(item.data) for item in readable)):
                    return False
                self._upload(readable)
            waited = time.monotonic() - self._opened_at > WINDOW_OPEN_S
            if len(self._window) >= self._fold_chunks() or (waited and self._may_run_dry()):
                self._flush()
        return True

    def _fold_chunks(self) -> int:
        """Small windows first, so that the nodes begin while the input is still being read."""
        return min(self._config.fold_chunks, 4 * 2**self._windows if self._windows < 16 else 2**20)

    def _upload(self, chunk: Chunk) -> None:
        index = self._chunks + len(self._window)
        refs = self._blobs.put(keys.input_scope(self._run, index), [item.data for item in chunk])
        entry = ChunkEntry(
            window=self._windows,
            names=[item.name for item in chunk],
            refs=[(ref.sha256, ref.size_bytes) for ref in refs],
            last=[item.last for item in chunk],
        )
        if not self._window:
            self._opened_at = time.monotonic()
        self._window.append(entry)
        self._window_bytes += entry.size_bytes

    def _flush(self) -> None:
        """Enter the open window in the ledger, then publish it."""
        if not self._window:
            return
        chunks = range(self._chunks, self._chunks + len(self._window))
        if self._ledger.open_window(self._run, self._windows, self._chunks, self._window) != "running":
            return  # whoever looks next sees it, too
        celery_tasks.publish_window(self._app, self._job.name, self._run, self._windows, chunks)
        self._chunks += len(self._window)
        self._bytes += self._window_bytes
        self._windows += 1
        self._window, self._window_bytes = [], 0
        self._on_wait()

    def _wait_for_room(self, size_bytes: int) -> bool:
        """Hold until the chunk fits into the limits of what may be on its way; False if the run ended."""
        limit_bytes, limit_chunks = self._config.window_bytes, self._config.window_chunks
        while True:
            progress = self._look()
            if progress.state != "running":
                return False
            self._settled = progress.chunks_settled
            chunks = self._chunks + len(self._window) - self._settled
            held_bytes = self._bytes + self._window_bytes - progress.bytes_settled
            if chunks == 0 or (chunks < limit_chunks and held_bytes + size_bytes <= limit_bytes):
                return True
            if self._may_run_dry():
                self._flush()
            self._pause()

    def _may_run_dry(self) -> bool:
        """Whether the nodes have no more to do than what is held back: if not, the window may still grow."""
        return self._chunks - self._settled <= len(self._window)

    def _see_through(self) -> str:
        last_change, before, patience_s = time.monotonic(), None, STALLED_S
        while True:
            progress = self._look()
            if progress.state != "running":
                return progress.state
            if progress != before:
                last_change, before = time.monotonic(), progress
            elif progress.chunks_settled == self._chunks and time.monotonic() - last_change > patience_s:
                self._fold_again()
                last_change, patience_s = time.monotonic(), min(2 * patience_s, MOST_STALLED_S)
            self._pause()

    def _fold_again(self) -> None:
        for window in self._ledger.open_windows(self._run):
            log.warning("run %s: window %s is complete and was not folded; asking again", self._run, window)
            message = FoldMessage(run=self._run, level=0, number=window)
            celery_tasks.publish_fold(self._app, self._job.name, message)

    def _look(self) -> Progress:
        if time.monotonic() - self._touched_at > TOUCH_S:
            self._ledger.touch(self._run)
            self._touched_at = time.monotonic()
        return self._ledger.progress(self._run)

    def _pause(self) -> None:
        self._on_wait()
        time.sleep(POLL_S)


def cancel(run: str, stores: Stores, reason: str, state: str = "cancelled") -> tuple[bool, str]:
    """End a run now. Chunks that are being done end without effect; their input is dropped.

    Returns:
        Whether this call did it, and the state the run is in.
    """
    did, now = stores.ledger.stop(run, state, reason)
    if did:
        for chunk in stores.ledger.unsettled(run):
            stores.blobs.drop(keys.input_scope(run, chunk))
        for window in stores.ledger.open_windows(run):
            stores.blobs.drop(keys.parts_scope(run, window))
        stores.ledger.forget_work(run)
    return did, now
