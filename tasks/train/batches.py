"""Which rows of a shard are in which batch: scrambled anew for each epoch, cut into batches, what is over left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.train import seeds


class Batches:
    """The batches of a shard. The same numbers give the same batches, in any process."""

    def __init__(self, rows: int, size: int, seed: int, shard: int) -> None:
        """Cut ``rows`` rows, at least 1, into batches of ``size``; fewer rows make one batch."""
        self._rows = rows
        self._size = min(size, rows)
        self._place = (seed, shard)
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, np.int64)

    @property
    def per_epoch(self) -> int:
        """Batches in which no row comes twice."""
        return self._rows // self._size

    def at(self, number: int) -> npt.NDArray[Any]:
        """The rows of the batch of that number, counted from 0 over all epochs: int64 of shape (size,)."""
        epoch, index = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            seed, shard = self._place
            self._order = seeds.generator(seed, shard, epoch, "batches").permutation(self._rows)
            self._epoch = epoch
        return self._order[index * self._size : (index + 1) * self._size]
