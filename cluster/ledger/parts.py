"""Where parts lie: small ones in the ledger itself, large ones in the blob store.

An entry of the ledger is ``i`` and the packed part, ``b`` and the address of its blob, or empty
for a partial that had nothing to join.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgpack

from cluster import blobs, errors, keys, wire
from cluster.blobs import BlobStore, Ref
from cluster.job import Job
from cluster.ledger.records import FAN_IN
from cluster.ledger.row import RunPolicy

if TYPE_CHECKING:
    from cluster.stores import Stores

INLINE, BLOB = b"i", b"b"
NOTHING = b""
OVERHEAD_BYTES = 2**16
"""Bytes that packing may add to a value that cannot be compressed."""


def place(store: BlobStore, scope: str, packed: bytes, policy: RunPolicy) -> bytes:
    """Store a packed part of a run with this policy; gives its entry."""
    if len(packed) <= policy.inline_bytes:
        return INLINE + packed
    [ref] = store.put(scope, [packed], policy.retention_s)
    address: bytes = msgpack.packb(ref)
    return BLOB + address


def load(store: BlobStore, scope: str, entry: bytes, max_bytes: int) -> Any:
    """The part of an entry that is not ``NOTHING``; nothing of it is held that is over ``max_bytes``.

    Raises:
        errors.BlobError: Its bytes are gone or wrong.
        wire.BadMessage: It cannot be read, or is too large.
    """
    if entry[:1] == INLINE:
        return wire.unpack(entry[1:], max_bytes)
    ref = _ref(entry)
    if ref.size_bytes > max_bytes + OVERHEAD_BYTES:
        raise wire.BadMessage(f"a packed value has {ref.size_bytes:,} bytes; the limit is {max_bytes:,}")
    return wire.unpack(blobs.get_one(store, scope, ref), max_bytes)


def size_bytes(entry: bytes) -> int:
    """The size of an entry's packed part.

    Raises:
        wire.BadMessage: It is no entry.
    """
    return _ref(entry).size_bytes if entry[:1] == BLOB else len(entry)


def of_run(run: str, job: Job, stores: Stores) -> Iterator[Any]:
    """The parts that together are a finished run's result, one at a time, in the order of the input.

    What a part may have is the run's policy, not this machine's.

    Raises:
        errors.RunFailed: Some are gone, are there twice, or are not what the job gives.
        errors.BlobError: The bytes of one are gone or wrong.
    """
    partials, max_bytes = stores.ledger.partials.of_result(run), stores.ledger.runs.policy(run).max_part_bytes
    batches = sum(FAN_IN**level for level, _, _ in partials)
    if batches != (total := stores.ledger.runs.batches(run)):
        raise errors.RunFailed(f"the result of the run {run} is damaged: {batches} of its {total} batches are there")
    for level, number, entry in partials:
        if entry != NOTHING:
            try:
                value = load(stores.blobs, keys.partial_scope(run, level, number), entry, max_bytes)
                job.check_part(value)
            except ValueError as error:
                raise errors.RunFailed(
                    f"the result of the run {run} is damaged: the part {level}:{number} is not of the job {job.name}:"
                    f" {error}"
                ) from None
            yield value


def _ref(entry: bytes) -> Ref:
    """Where the part of an entry lies.

    Raises:
        wire.BadMessage: It is no such entry.
    """
    try:
        sha256, size_bytes = msgpack.unpackb(entry[1:])
    except (msgpack.UnpackException, ValueError, TypeError):
        sha256, size_bytes = None, None
    if entry[:1] != BLOB or not isinstance(sha256, str) or not isinstance(size_bytes, int) or size_bytes < 0:
        raise wire.BadMessage("the entry of this part in the ledger is not an address")
    return Ref(sha256, size_bytes)
