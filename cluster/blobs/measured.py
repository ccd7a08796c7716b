"""A store of bytes that measures how fast they cross, for all processes of a node together."""

from __future__ import annotations

import mmap
import time
from collections.abc import Collection, Sequence

from cluster.blobs import KEEP_S, BlobStore, Ref

LEAST_BYTES = 256 * 1024
"""A call that moves fewer bytes is not measured: it would measure the round trip."""
WEIGHT = 0.3
"""Of the newest measurement in the moving mean."""
ODD = 0.2
"""A measurement below this share of the mean counts only if the next one is, too: Redis may have been away."""


class Meter:
    """The speeds to a store and back, as moving means.

    They lie in memory that children share which are forked afterwards. Two processes may measure at the same moment;
    one of the two is lost then.
    """

    def __init__(self) -> None:
        self._values = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")
        self._up, self._down = (0, 1), (2, 3)

    @property
    def up_bytes_s(self) -> float | None:
        """Bytes a second of a transfer to the store; None until one was measured."""
        return self._values[self._up[0]] or None

    @property
    def down_bytes_s(self) -> float | None:
        """The same from the store."""
        return self._values[self._down[0]] or None

    def sent(self, size_bytes: int, took_s: float) -> None:
        """Count a transfer to the store."""
        self._count(self._up, size_bytes, took_s)

    def received(self, size_bytes: int, took_s: float) -> None:
        """Count a transfer from the store."""
        self._count(self._down, size_bytes, took_s)

    def _count(self, at: tuple[int, int], size_bytes: int, took_s: float) -> None:
        if size_bytes < LEAST_BYTES or took_s <= 0:
            return
        (mean, odd), rate = at, size_bytes / took_s
        before = self._values[mean]
        is_odd = rate < ODD * before
        if not is_odd or self._values[odd]:
            self._values[mean] = before + WEIGHT * (rate - before) if before else rate
        self._values[odd] = is_odd


HUB = Meter()
"""Of the cluster's store, as this node's processes see it."""
EDGE = Meter()
"""Of the store of this node's site."""


class Measured:
    """A ``BlobStore`` in front of another one."""

    def __init__(self, store: BlobStore, meter: Meter) -> None:
        self._store = store
        self._meter = meter

    def put(self, scope: str, blobs: Sequence[bytes], keep_s: int = KEEP_S) -> list[Ref]:
        """See ``BlobStore.put``."""
        began = time.monotonic()
        refs = self._store.put(scope, blobs, keep_s)
        self._meter.sent(sum(ref.size_bytes for ref in set(refs)), time.monotonic() - began)
        return refs

    def read(self, scope: str, refs: Sequence[Ref]) -> list[bytes | None]:
        """See ``BlobStore.read``."""
        began = time.monotonic()
        found = self._store.read(scope, refs)
        self._meter.received(sum(len(data) for data in found if data is not None), time.monotonic() - began)
        return found

    def drop(self, scope: str) -> None:
        """See ``BlobStore.drop``."""
        self._store.drop(scope)

    def drop_below(self, folders: Collection[str]) -> None:
        """See ``BlobStore.drop_below``."""
        self._store.drop_below(folders)
