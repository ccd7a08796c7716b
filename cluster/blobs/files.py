"""Blobs under any URL that fsspec knows and every node reaches: ``file:///mnt/nas``, ``s3://bucket/x``."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any

from cluster import errors
from cluster.blobs import Ref, address


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

    def put(self, scope: str, blobs: Sequence[bytes]) -> list[Ref]:
        """See ``BlobStore.put``. A blob is written beside its place and moved there whole."""
        folder = f"{self._root}/{scope}"
        self._files.makedirs(folder, exist_ok=True)
        refs = []
        for data in blobs:
            ref = address(data)
            draft = f"{folder}/.{ref.sha256}.{uuid.uuid4().hex}"
            self._files.pipe_file(draft, data)
            self._files.mv(draft, f"{folder}/{ref.sha256}")
            refs.append(ref)
        return refs

    def read(self, scope: str, refs: Sequence[Ref]) -> list[bytes | None]:
        """See ``BlobStore.read``."""
        return [self._read_one(f"{self._root}/{scope}/{ref.sha256}") for ref in refs]

    def drop(self, scope: str) -> None:
        """See ``BlobStore.drop``."""
        folder = f"{self._root}/{scope}"
        try:
            self._files.rm(folder, recursive=True)
        except FileNotFoundError:
            return

    def drop_below(self, folders: Collection[str]) -> None:
        """See ``BlobStore.drop_below``."""
        for folder in folders:
            self.drop(folder)

    def _read_one(self, path: str) -> Any:
        try:
            return self._files.cat_file(path)
        except FileNotFoundError:
            return None
