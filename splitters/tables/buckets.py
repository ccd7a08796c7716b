"""Scatter rows to files, one for each shard, so that no more than one shard is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitters.tables.deal import Rows


class Bucket(NamedTuple):
    """A file of rows, in the order of the source."""

    path: Path
    rows: Rows
    """Which rows of the source."""


class Buckets:
    """Files of rows of one shape and dtype in ``folder``, which goes with them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dtype: np.dtype[Any] = np.dtype(np.float32)
        self._shape: tuple[int, ...] = ()

    def scatter(self, blocks: Iterable[NDArray[Any]], wanted: Sequence[Rows], name: str) -> list[Bucket]:
        """Write the wanted rows of blocks, one list of rows a bucket.

        Raises:
            OSError: The disk is full.
        """
        buckets = [Bucket(self._folder / f"{name}-{number}", rows) for number, rows in enumerate(wanted)]
        for bucket in buckets:
            bucket.path.touch()
        start = 0
        for block in blocks:
            self._dtype, self._shape = block.dtype, block.shape[1:]
            for bucket in buckets:
                first, end = np.searchsorted(bucket.rows, [start, start + len(block)])
                if first < end:
                    self._append(bucket.path, block[bucket.rows[first:end] - start])
            start += len(block)
        return buckets

    def read(self, bucket: Bucket) -> NDArray[Any]:
        """The rows of a bucket, whose file goes."""
        rows = np.fromfile(bucket.path, self._dtype).reshape(len(bucket.rows), *self._shape)
        bucket.path.unlink()
        return rows

    def look_up(self, bucket: Bucket, rows: Rows) -> NDArray[Any]:
        """Some rows of a bucket, in their order; its file stays, and only these are read.

        Args:
            bucket: Where they are.
            rows: Rows of the source, all in the bucket.
        """
        if not len(rows):
            return np.empty((0, *self._shape), self._dtype)
        shape = (len(bucket.rows), *self._shape)
        return np.asarray(np.memmap(bucket.path, self._dtype, "r", shape=shape)[np.searchsorted(bucket.rows, rows)])

    def _append(self, path: Path, rows: NDArray[Any]) -> None:
        # Opened each time: a process may have fewer files open than there are buckets.
        try:
            with path.open("ab") as out:
                out.write(np.ascontiguousarray(rows).data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._folder)) from None
