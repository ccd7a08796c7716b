"""Blobs under any URL that fsspec knows and every node reaches: ``file:///mnt/nas``, ``s3://bucket/x``."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any

from cluster import errors
from cluster.blobs import KEEP_S, Ref, address


class FileBlobs:
    """A ``BlobStore`` with a folder for each scope and a file for each blob.

    Raises:
        errors.BadSetting: fsspec does not know the URL's scheme, or lacks a library for it.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise errors.BadSetting(f"CLUSTER_BLOB_URL is {url!r}: {error}") from None

    def put(self, scope: str, blobs: Sequence[bytes], keep_s: int = KEEP_S) -> list[Ref]:
        """See ``BlobStore.put``. A blob is written beside its place and moved there whole."""
        folder = self._folder(scope)
        self._files.makedirs(folder, exist_ok=True)
        refs = []
        for data in blobs:
            ref = address(data)
            if ref not in refs:
                self._put_one(f"{folder}/{ref.sha256}", f"{folder}/.{ref.sha256}.{uuid.uuid4().hex}", data)
            refs.append(ref)
        return refs

    def read(self, scope: str, refs: Sequence[Ref]) -> list[bytes | None]:
        """See ``BlobStore.read``."""
        folder = self._folder(scope)
        return [self._read_one(f"{folder}/{ref.sha256}") for ref in refs]

    def drop(self, scope: str) -> None:
        """See ``BlobStore.drop``."""
        folder = self._folder(scope)
        try:
            self._files.rm(folder, recursive=True)
        except FileNotFoundError:
            return

    def drop_below(self, folders: Collection[str]) -> None:
        """See ``BlobStore.drop_below``."""
        for folder in folders:
            self.drop(folder)

    def _put_one(self, path: str, draft: str, data: bytes) -> None:
        self._files.pipe_file(draft, data)
        try:
            self._files.mv(draft, path)
        except OSError:
            if not self._files.exists(path):
                raise
            self._files.rm_file(draft)  # a store whose names are not taken over, as SMB's: the same bytes are there

    def _folder(self, scope: str) -> str:
        if not all(word.strip(".") for word in scope.split("/")):
            raise ValueError(f"no scope of blobs, it may lead elsewhere: {scope!r}")
        return f"{self._root}/{scope}"

    def _read_one(self, path: str) -> Any:
        try:
            return self._files.cat_file(path)
        except FileNotFoundError:
            return None
