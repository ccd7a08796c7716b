"""Do a shard's turn in a round. What a process has seen of a run stays in it from turn to turn."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from cluster import blobs, errors, keys
from cluster.blobs import Ref
from cluster.job import Job, Options
from cluster.rounds import Bound, about_of
from cluster.stores import Stores
from cluster.wire import ShardEntry, TurnEntry
from splitters import Chunk, Item
from tasks import Seat, Turn

MOST_RUNS = 2
"""A process keeps the views and shards of this many runs, those it worked for last."""
_seen: OrderedDict[str, Seen] = OrderedDict()


class Seen:
    """What this process knows of a run: its card, its view, and what the task keeps of each shard."""

    def __init__(self, run: str, stores: Stores) -> None:
        self._run = run
        self._stores = stores
        self._about: bytes | None = None
        self._version = -1
        self._view: Any = None
        self._kept: dict[int, dict[str, Any]] = {}
        self.rounds: dict[int, int] = {}
        """Shard -> the last round in which it was done here."""
        self.read_bytes = 0
        """Bytes that were fetched for the last turn."""

    def turn(self, entry: TurnEntry, job: Job, options: Options, seat: Seat | None = None) -> dict[str, Any]:
        """Do a turn; gives the value with what is to be told beside it, see ``cluster.rounds``.

        Raises:
            errors.BlobError: Bytes of the view or the shard are gone or wrong.
            ValueError: The task gave what is no value of its job.
        """
        began, self.read_bytes = time.monotonic(), 0
        bound = self.bound(job, options)
        self._see(entry, bound)
        fetched_s = time.monotonic() - began

        def read() -> Chunk:
            nonlocal fetched_s
            began = time.monotonic()
            try:
                return self._fetch(entry.shard + 1)
            finally:
                fetched_s += time.monotonic() - began

        times: dict[str, float] = {}
        self.rounds[entry.shard] = entry.round
        value = bound.turn(
            Turn(
                round=entry.round, shard=entry.shard, shards=entry.shards, kind=entry.kind, seconds=entry.seconds,
                view=self._view, base=entry.base, about=bound.about, read=read,
                kept=self._kept.setdefault(entry.shard, {}), times=times, seat=seat,
            )
        )  # fmt: skip
        return {"value": value, "times": {**times, "fetch": fetched_s}, "read_bytes": self.read_bytes}

    def bound(self, job: Job, options: Options) -> Bound:
        """The functions of the run's job, with what is told about its input.

        Raises:
            errors.BlobError: Its bytes are gone or wrong.
        """
        if self._about is None:
            self._about = about_of(self._fetch(0))
        return Bound(job, options, self._about)

    def _see(self, entry: TurnEntry, bound: Bound) -> None:
        """Bring the view to the version of the turn."""
        newest = entry.views[-1].version
        if newest == self._version:
            return
        follows = [view.version for view in entry.views].count(self._version) == 1
        missing = [view for view in entry.views if not follows or view.version > self._version]
        seen = self._view if follows else None
        self._version, self._view = -1, None  # until it is whole
        for view in missing:
            ref = Ref(view.sha256, view.size_bytes)
            data = blobs.get_one(self._stores.blobs, keys.view_scope(self._run, view.version), ref)
            self.read_bytes += len(data)
            seen = bound.rounds.see(seen, data, view.whole)
        self._version, self._view = newest, seen

    def _fetch(self, chunk: int) -> Chunk:
        """A chunk of the run's input: 0 tells about all, the others are the shards."""
        entry = self._stores.ledger.rounds.shard(self._run, chunk)
        if entry.data is not None:
            found = [blobs.check(Ref(*ref), data) for ref, data in zip(entry.refs, entry.data, strict=True)]
        else:
            found = self._blobs_of(entry, chunk)
        items = []
        for name, data in zip(entry.names, found, strict=True):
            if isinstance(data, Exception):
                raise data
            self.read_bytes += len(data)
            items.append(Item(name, data))
        return items

    def _blobs_of(self, entry: ShardEntry, chunk: int) -> list[bytes | errors.BlobError]:
        lies, refs = entry.lies or [chunk] * len(entry.refs), [Ref(*ref) for ref in entry.refs]
        found: dict[tuple[int, Ref], bytes | errors.BlobError] = {}
        for place in dict.fromkeys(lies):
            there = [ref for ref, lie in zip(refs, lies, strict=True) if lie == place]
            got = blobs.get(self._stores.blobs, keys.data_scope(self._run, place), there)
            found |= {(place, ref): data for ref, data in zip(there, got, strict=True)}
        return [found[place, ref] for place, ref in zip(lies, refs, strict=True)]


def seen(run: str, stores: Stores) -> Seen:
    """What this process knows of a run; of all but the last ``MOST_RUNS`` it forgets that."""
    if run not in _seen:
        _seen[run] = Seen(run, stores)
        while len(_seen) > MOST_RUNS:
            _seen.popitem(last=False)
    _seen.move_to_end(run)
    return _seen[run]


def shards(run: str) -> Mapping[int, int]:
    """The shards of a run that this process has done, each with the last round in which it did."""
    return _seen[run].rounds if run in _seen else {}


def forget(run: str) -> None:
    """Drop what is kept of a run: it is over, or a turn of it raised, so that it may be half done."""
    _seen.pop(run, None)
