"""The parts of a run as its chunks are settled, while it goes on.

A part lies in its batch until that is aggregated, then in a partial, then in one of the next level. So between two
looks a part may have moved, with others that are new: of these the items that were given before are left out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cluster import errors, keys
from cluster.client import result
from cluster.ledger import parts as stored
from cluster.ledger.records import FAN_IN
from cluster.wire import Expected

if TYPE_CHECKING:
    from cluster.job import Job
    from cluster.redis_rows import BatchRow
    from cluster.stores import Stores

POLL_S = 0.2


def follow(run: str, job: Job, stores: Stores, on_wait: Callable[[], None] = lambda: None) -> Iterator[Any]:
    """The parts of a run as they are settled, each item once, and then the rest. It ends with the run.

    Holds 8 bytes of a digest for each item, and one part. ``on_wait`` is called some times a second. An empty part
    comes now and then.

    Raises:
        errors.UsageError: The job's parts are not mappings of items, so that none is a result by itself.
        errors.RunCancelled, errors.RunFailed: The run has no result.
        errors.BlobError: The bytes of a part are gone or wrong.
    """
    if not job.joins_by_name:
        raise errors.UsageError(f"the job {job.name} gives its result at the end only: it is no mapping of items")
    found, seen = Settled(run, job, stores), None
    while (progress := stores.ledger.runs.progress(run)).state == "running":
        if progress != seen:
            yield from found.look()
            yield {}  # a document may be whole by now, as the input was read on
        seen = progress
        on_wait()
        time.sleep(POLL_S)
    status = stores.ledger.runs.status(run, failures=False)
    result.require_done(status)
    yield from found.look(last=True)
    if found.given != status.items_done:  # Redis has forgotten what we had seen, and a batch holds other chunks now
        yield from found.look_at_all()


class Settled:
    """The parts of one run that were not given yet.

    Args:
        run: Its id.
        job: Its job, whose parts are mappings of items.
        stores: Where it is kept.
    """

    def __init__(self, run: str, job: Job, stores: Stores) -> None:
        self._run = run
        self._job = job
        self._partials, self._runs, self._blobs = stores.ledger.partials, stores.ledger.runs, stores.blobs
        self._max_bytes = stores.ledger.runs.policy(run).max_part_bytes
        self._items: set[int] = set()
        self._missing = 0
        self._chunks: dict[int, set[int]] = {}  # open batch -> its chunks that were given, or cannot be
        self._refused: set[int] = set()
        self._whole: set[int] = set()  # batches of which all was given
        self.given = 0
        """Items that were given with a value."""

    def look(self, *, last: bool = False) -> Iterator[Any]:
        """What is settled since the last look; with ``last`` the run is done: what cannot be read is damaged."""
        yield from self._absent()
        batches = self._partials.open_batches(self._run)
        for gone in self._chunks.keys() - batches.keys():
            del self._chunks[gone]
        for batch, row in batches.items():
            yield from self._of_batch(batch, row)
        yield from self._joined(last=last)

    def look_at_all(self) -> Iterator[Any]:
        """All parts of a run that is done, without the items that were given."""
        self._whole.clear()
        yield from self._joined(last=True)

    def _absent(self) -> Iterator[Any]:
        """A part for items that failed, where the job's result has a place for them."""
        if self._job.absent is None or self._runs.count_missing(self._run) == self._missing:
            return
        names = self._runs.missing(self._run)
        self._missing = len(names)
        if new := [name for name in names if self._is_new(name)]:
            yield self._job.absent(new)

    def _of_batch(self, batch: int, row: BatchRow) -> Iterator[Any]:
        known = self._chunks.setdefault(batch, set())
        for chunk in self._partials.settled(self._run, batch):
            if chunk in known:
                continue
            found = self._partials.part(self._run, batch, chunk)
            if found is None:
                return  # the batch was aggregated meanwhile
            known.add(chunk)
            try:
                value = self._load(batch, *found)
            except (errors.BlobError, ValueError):
                self._refused.add(chunk)  # the node that joins the batch has the last word
                continue
            yield from self._new(value)
        if known >= set(row.chunks) and self._refused.isdisjoint(row.chunks):
            self._whole.add(batch)

    def _load(self, batch: int, entry: bytes, expected: bytes) -> Mapping[str, Any]:
        if entry == stored.NOTHING:
            return {}
        told = Expected.unpack(expected)
        most = min(self._max_bytes, told.part_bytes)
        value = stored.load(self._blobs, keys.parts_scope(self._run, batch), entry, most)
        self._job.check_part(value, set(told.names))
        found: Mapping[str, Any] = value
        return found

    def _joined(self, *, last: bool) -> Iterator[Any]:
        for level, number in self._partials.listed(self._run):
            batches = range(number * FAN_IN**level, (number + 1) * FAN_IN**level)
            if self._whole.issuperset(batches):
                continue
            entry = self._partials.entry(self._run, level, number)
            if entry is None:
                continue  # it was joined with its neighbours meanwhile
            try:
                value = self._load_joined(level, number, entry)
            except errors.BlobError:
                if last:
                    raise
                continue
            self._whole.update(batches)
            yield from self._new(value)

    def _load_joined(self, level: int, number: int, entry: bytes) -> Mapping[str, Any]:
        if entry == stored.NOTHING:
            return {}
        scope = keys.partial_scope(self._run, level, number)
        try:
            value = stored.load(self._blobs, scope, entry, self._max_bytes)
            self._job.check_part(value)
        except ValueError as error:
            raise _damaged(self._run, level, number, error) from None
        found: Mapping[str, Any] = value
        return found

    def _new(self, value: Mapping[str, Any]) -> Iterator[Any]:
        new = {name: one for name, one in value.items() if self._is_new(name)}
        self.given += len(new)
        if new:
            yield new

    def _is_new(self, name: str) -> bool:
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        if number in self._items:
            return False
        self._items.add(number)
        return True


def _damaged(run: str, level: int, number: int, error: Exception) -> errors.RunFailed:
    return errors.RunFailed(f"the result of the run {run} is damaged: the part {level}:{number}: {error}")
