"""Begin a run in rounds: upload its shards, make the first state, enter the first round."""

from __future__ import annotations

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


def upload(
    run: str, chunk: int, readable: Chunk, stores: Stores, policy: RunPolicy
) -> ShardEntry:  # fmt: skip
    """Put a chunk of the input where all rounds find it; a second call puts the same bytes in the same place."""
    data = [item.data for item in readable]
    inline = sum(map(len, data)) <= policy.inline_bytes
    scope = keys.data_scope(run, chunk)
    refs = [blobs.address(one) for one in data] if inline else stores.blobs.put(scope, data, policy.retention_s)
    return ShardEntry(
        names=[item.name for item in readable], refs=[tuple(ref) for ref in refs], data=data if inline else None
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
