"""Blobs in Redis: one hash a scope, so that a chunk's small items are one write, one read and one delete."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from cluster import keys
from cluster.blobs import KEEP_S, Ref, address

if TYPE_CHECKING:
    import redis

TURN_BYTES = 1024 * 1024


class RedisBlobs:
    """A ``BlobStore`` in Redis, in which scopes expire."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def put(self, scope: str, blobs: Sequence[bytes], keep_s: int = KEEP_S) -> list[Ref]:
        """See ``BlobStore.put``."""
        refs = [address(data) for data in blobs]
        fields = dict(zip(refs, blobs, strict=True))
        for together in _in_turns(list(fields)):
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(keys.blobs(scope), mapping={ref.sha256: fields[ref] for ref in together})
                pipe.expire(keys.blobs(scope), keep_s)
                pipe.execute()
        return refs

    def read(self, scope: str, refs: Sequence[Ref]) -> list[bytes | None]:
        """See ``BlobStore.read``."""
        found: list[bytes | None] = []
        for together in _in_turns(refs):
            answer: Any = self._redis.hmget(keys.blobs(scope), [ref.sha256 for ref in together])
            found += answer
        return found

    def drop(self, scope: str) -> None:
        """See ``BlobStore.drop``."""
        self._redis.unlink(keys.blobs(scope))

    def drop_below(self, folders: Collection[str]) -> None:
        """See ``BlobStore.drop_below``. One walk over the keys of this Redis, a thousand at a time."""
        wanted = set(folders)
        for key in self._redis.scan_iter(match=keys.blobs("*"), count=1000):
            scope = PurePosixPath(keys.scope_of(key.decode()))
            if not wanted.isdisjoint(map(str, scope.parents)):
                self._redis.unlink(key)


def _in_turns(refs: Sequence[Ref]) -> Iterator[list[Ref]]:
    """Yield the refs of each call: up to ``TURN_BYTES`` together, or one. A call that breaks is made again whole."""
    turn: list[Ref] = []
    size_bytes = 0
    for ref in refs:
        if turn and size_bytes + ref.size_bytes > TURN_BYTES:
            yield turn
            turn, size_bytes = [], 0
        turn.append(ref)
        size_bytes += ref.size_bytes
    if turn:
        yield turn
