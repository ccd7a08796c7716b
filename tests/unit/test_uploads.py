"""The shards of a run in rounds in the blob store: bytes that several of them have lie there once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster import errors, keys
from cluster.blobs.memory import MemoryBlobs
from cluster.coordinator.begin_rounds import Uploads
from cluster.ledger.row import RunPolicy
from cluster.wire import BadMessage, ShardEntry
from cluster.worker.turns import Seen
from splitters import Chunk, Item

LARGE = b"x" * 200_000
CHUNKS: list[Chunk] = [
    [Item("about", b"4")],
    [Item("X", LARGE), Item("test", b"1" * 300_000)],
    [Item("X", LARGE), Item("test", b"2" * 300_000)],
    [Item("X", LARGE), Item("test", b"1" * 300_000)],
    [Item("X", b"small")],
]


class Counted(MemoryBlobs):
    """Counts what is put."""

    put_bytes = 0

    def put(self, scope: str, blobs: Any, keep_s: int = 1) -> Any:
        self.put_bytes += sum(map(len, blobs))
        return super().put(scope, blobs, keep_s)


def uploaded(store: MemoryBlobs) -> list[ShardEntry]:
    uploads = Uploads("r-1", SimpleNamespace(blobs=store), RunPolicy())  # type: ignore[arg-type]
    return [entry for chunk in CHUNKS if (entry := uploads.add(chunk))]


def seen(store: MemoryBlobs, entries: list[ShardEntry]) -> Seen:
    packed = [ShardEntry.unpack(entry.pack()) for entry in entries]
    rounds = SimpleNamespace(shard=lambda run, number: packed[number])
    return Seen("r-1", SimpleNamespace(blobs=store, ledger=SimpleNamespace(rounds=rounds)))  # type: ignore[arg-type]


def test_equal_bytes_lie_once_and_all_shards_read_them() -> None:
    store = Counted()
    entries = uploaded(store)

    assert store.put_bytes == 200_000 + 2 * 300_000
    assert [entry.lies for entry in entries] == [None, None, [1, 2], [1, 1], None]
    node = seen(store, entries)
    assert [node._fetch(number) for number in range(len(CHUNKS))] == CHUNKS


def test_uploads_done_again_give_the_same_entries() -> None:
    store = Counted()
    assert uploaded(store) == uploaded(store)


def test_bytes_that_are_gone_are_named_in_each_shard_that_has_them() -> None:
    store = Counted()
    node = seen(store, uploaded(store))
    store.drop(keys.data_scope("r-1", 1))

    with pytest.raises(errors.BlobMissing):
        node._fetch(3)
    with pytest.raises(errors.BlobMissing):
        node._fetch(2)


def test_what_gets_no_room_is_not_put() -> None:
    asked: list[int] = []

    def no_room(size_bytes: int) -> bool:
        asked.append(size_bytes)
        return len(asked) < 3

    store = Counted()
    uploads = Uploads("r-1", SimpleNamespace(blobs=store), RunPolicy())  # type: ignore[arg-type]
    assert [uploads.add(chunk, no_room) is None for chunk in CHUNKS[:3]] == [False, False, True]
    assert asked == [1, 500_000, 300_000]
    assert store.put_bytes == 500_000


def test_an_entry_with_odd_places_is_refused() -> None:
    entry = uploaded(Counted())[2]
    for lies in ([1], [-1, 2], ["a", "b"]):
        with pytest.raises(BadMessage, match="cannot be read"):
            ShardEntry.unpack(entry.model_copy(update={"lies": lies}).pack())
