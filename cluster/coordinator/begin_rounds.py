"""Begin a run in rounds: upload its shards, make the first state, enter the first round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cluster import blobs, keys, names
from cluster.coordinator import rounds, standing
from cluster.coordinator.standing import Standing
from cluster.job import Options
from cluster.ledger.row import RunPolicy
from cluster.rounds import Bound
from cluster.stores import Stores
from cluster.wire import ChunkEntry, ShardEntry
from splitters import Chunk


class First(NamedTuple):
    """What a run in rounds begins with."""

    shards: list[ShardEntry]
    """The input, its first chunk first."""
    standing: Standing
    entries: list[ChunkEntry]
    """Of the first round's chunks."""
    rounds: int
    """How many rounds the run is to have, 0 where that is not known."""


class Uploads:
    """Puts the chunks of the input where all rounds find them; done again, it puts the same bytes in the same places.

    Bytes that are in several shards, as where each has all rows, are put once.
    """

    def __init__(self, run: str, stores: Stores, policy: RunPolicy) -> None:
        self._run = run
        self._blobs = stores.blobs
        self._policy = policy
        self._lies: dict[str, int] = {}
        """sha256 -> the chunk in whose scope these bytes lie."""
        self._chunks = 0

    def add(self, readable: Chunk, has_room: Callable[[int], bool] = lambda size_bytes: True) -> ShardEntry | None:
        """Put the next chunk; None where it gets no room.

        Args:
            readable: The chunk.
            has_room: Waits until there is room for so many bytes; False: there is none, and the run is over.
        """
        chunk, data = self._chunks, [item.data for item in readable]
        refs = [blobs.address(one) for one in data]
        is_inline = sum(map(len, data)) <= self._policy.inline_bytes
        if is_inline:
            new, lies = data, None
        else:
            lies = [self._lies.setdefault(ref.sha256, chunk) for ref in refs]
            new = [one for one, place in zip(data, lies, strict=True) if place == chunk]
        if not has_room(sum(map(len, new))):
            return None
        if not is_inline and new:
            self._blobs.put(keys.data_scope(self._run, chunk), new, self._policy.retention_s)
        self._chunks += 1
        return ShardEntry(
            names=[item.name for item in readable],
            refs=[tuple(ref) for ref in refs],
            data=data if is_inline else None,
            lies=None if lies is None or set(lies) <= {chunk} else lies,
        )


def first(run: str, bound: Bound, shards: list[ShardEntry], stores: Stores, policy: RunPolicy, now_ms: int) -> First:
    """Make the first state and view, and put them into the blob store.

    Raises:
        ValueError: The options do not fit the input.
        errors.UnknownBundle, errors.BlobError: The model to start from is gone.
    """
    step = bound.begin(_base(bound.options, stores))
    begun = Standing.begun(step, len(shards) - 1)
    begun = standing.write(run, begun, step, bound, stores, policy.retention_s).open_first(now_ms)
    return First(shards, begun, rounds.entries(begun, begun.open), step.rounds or 0)


def _base(options: Options, stores: Stores) -> Path | None:
    """The folder of the model to start from."""
    name = options.get("from_model")
    if not name or names.is_folder(name):
        return Path(name) if name else None
    return stores.models.fetch(name)
