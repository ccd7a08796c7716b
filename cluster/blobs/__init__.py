"""Content-addressed bytes: written under their sha256, checked for size and sha256 on every read.

A blob lies in a scope, a path like ``runs/<run>/in/17``. Within a scope the same bytes are kept once;
a scope is dropped as a whole. As scopes share nothing, dropping one can never take another's bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cluster import errors

if TYPE_CHECKING:
    import redis

    from cluster.settings import Settings

READ_ATTEMPTS = 3
KEEP_S = 7 * 24 * 3600
"""How long bytes are kept that are no run's: what a push of a model has uploaded before it is entered."""


class Ref(NamedTuple):
    """The address of a blob within its scope."""

    sha256: str
    """64 lower-case hexadecimal digits."""
    size_bytes: int


class BlobStore(Protocol):
    """Where bytes lie. All methods may be repeated; each ends in the same state."""

    def put(self, scope: str, blobs: Sequence[bytes], keep_s: int = KEEP_S) -> list[Ref]:
        """Write all, whole or not at all each, and give their addresses in the same order.

        Args:
            scope: Where they lie.
            blobs: What to write.
            keep_s: A store in which things expire keeps the scope this long after it was last written to.
        """
        ...

    def read(self, scope: str, refs: Sequence[Ref]) -> list[bytes | None]:
        """The bytes as the store gives them, unchecked; None for those it does not have."""
        ...

    def drop(self, scope: str) -> None:
        """Forget a scope and all in it; nothing happens if there is none."""
        ...

    def drop_below(self, folders: Collection[str]) -> None:
        """Forget every scope below these, as ``runs/R``. May look at all that the store holds, once for all of them."""
        ...


def get(store: BlobStore, scope: str, refs: Sequence[Ref]) -> list[bytes | errors.BlobError]:
    """Read and verify, reading again what is wrong, up to ``READ_ATTEMPTS`` times.

    Gives, for each ref, its bytes or the error that remains; never bytes that do not match.
    """
    checked = [check(ref, data) for ref, data in zip(refs, store.read(scope, refs), strict=True)]
    for _ in range(READ_ATTEMPTS - 1):
        wrong = [at for at, value in enumerate(checked) if not isinstance(value, bytes)]
        if not wrong:
            break
        again = store.read(scope, [refs[at] for at in wrong])
        for at, data in zip(wrong, again, strict=True):
            checked[at] = check(refs[at], data)
    return checked


def get_one(store: BlobStore, scope: str, ref: Ref) -> bytes:
    """Read and verify one blob.

    Raises:
        errors.BlobMissing: The store does not have it.
        errors.BlobCorrupt: It has another size or sha256, each time it was read.
    """
    [data] = get(store, scope, [ref])
    if isinstance(data, bytes):
        return data
    raise data


def address(data: bytes) -> Ref:
    """Under what ``data`` is written."""
    return Ref(hashlib.sha256(data).hexdigest(), len(data))


def connect(settings: Settings, client: redis.Redis) -> BlobStore:
    """The store the settings name."""
    if settings.blob_url:
        from cluster.blobs.files import FileBlobs

        return FileBlobs(settings.blob_url)
    from cluster.blobs.redis import RedisBlobs

    return RedisBlobs(client)


def check(ref: Ref, data: bytes | None) -> bytes | errors.BlobError:
    """The bytes, if they are those of that address, else what is wrong with them."""
    if data is None:
        return errors.BlobMissing(f"the blob {ref.sha256[:12]} of {ref.size_bytes:,} bytes is gone")
    found = address(data)
    if found != ref:
        return errors.BlobCorrupt(
            f"the blob {ref.sha256[:12]} of {ref.size_bytes:,} bytes came back as"
            f" {found.size_bytes:,} bytes with sha256 {found.sha256[:12]}…"
        )
    return data
