"""Where parts lie: small ones in the ledger itself, large ones in the blob store.

An entry of the ledger is ``i`` and the packed part, ``b`` and the address of its blob, or empty
for a fold that had nothing to join.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack

from cluster import blobs, errors, keys, wire
from cluster.blobs import BlobStore, Ref
from cluster.runs import FAN_IN, Stores

INLINE, BLOB = b"i", b"b"
NOTHING = b""


def place(store: BlobStore, scope: str, packed: bytes, inline_bytes: int) -> bytes:
    """Store a packed part; gives its entry."""
    if len(packed) <= inline_bytes:
        return INLINE + packed
    [ref] = store.put(scope, [packed])
    address: bytes = msgpack.packb(ref)
    return BLOB + address


def load(store: BlobStore, scope: str, entry: bytes, max_bytes: int) -> Any:
    """The part of an entry that is not ``NOTHING``.

    Raises:
        errors.BlobError: Its bytes are gone or wrong.
        wire.BadMessage: It cannot be read.
    """
    if entry[:1] == INLINE:
        return wire.unpack(entry[1:], max_bytes)
    sha256, size_bytes = msgpack.unpackb(entry[1:])
    return wire.unpack(blobs.get_one(store, scope, Ref(sha256, size_bytes)), max_bytes)


def size_bytes(entry: bytes) -> int:
    """The size of an entry's packed part."""
    return int(msgpack.unpackb(entry[1:])[1]) if entry[:1] == BLOB else len(entry)


def of_run(run: str, stores: Stores, max_bytes: int) -> Iterator[Any]:
    """The parts that together are a finished run's result, one at a time, in the order of the input.

    Raises:
        errors.RunFailed: Some are gone, or are there twice.
        errors.BlobError: The bytes of one are gone or wrong.
    """
    folds = stores.ledger.folds(run)
    windows = sum(FAN_IN**level for level, _, _ in folds)
    if windows != (total := stores.ledger.windows(run)):
        raise errors.RunFailed(f"the result of the run {run} is damaged: {windows} of its {total} windows are there")
    for level, number, entry in folds:
        if entry != NOTHING:
            yield load(stores.blobs, keys.fold_scope(run, level, number), entry, max_bytes)
