"""Blobs in this process: for tests and for trying things out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from cluster.blobs import KEEP_S, Ref, address


class MemoryBlobs:
    """A ``BlobStore`` in a dictionary; ``scopes`` may be looked into and tampered with."""

    def __init__(self) -> None:
        self.scopes: defaultdict[str, dict[str, bytes]] = defaultdict(dict)

    def put(self, scope: str, blobs: Sequence[bytes], keep_s: int = KEEP_S) -> list[Ref]:
        """See ``BlobStore.put``."""
        refs = [address(data) for data in blobs]
        self.scopes[scope].update(zip((ref.sha256 for ref in refs), blobs, strict=True))
        return refs

    def read(self, scope: str, refs: Sequence[Ref]) -> list[bytes | None]:
        """See ``BlobStore.read``."""
        return [self.scopes[scope].get(ref.sha256) for ref in refs]

    def drop(self, scope: str) -> None:
        """See ``BlobStore.drop``."""
        self.scopes.pop(scope, None)

    def drop_below(self, folders: Collection[str]) -> None:
        """See ``BlobStore.drop_below``."""
        for scope in list(self.scopes):
            if any(scope.startswith(f"{folder}/") for folder in folders):
                self.drop(scope)
