"""Means and standard deviations of rows that come in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Mean and standard deviation of each of ``width`` columns, NaN left out.

    Blocks are joined as in Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances" (1979), so a mean far from 0 costs no digits.
    """

    def __init__(self, width: int) -> None:
        self.count = np.zeros(width)
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)
        self._least = np.full(width, np.inf)
        self._most = np.full(width, -np.inf)

    def add(self, block: NDArray[Any]) -> None:
        """Take in one more block of shape (rows, width)."""
        is_there = ~np.isnan(block)
        count = is_there.sum(axis=0)
        values = np.where(is_there, block, 0.0)
        mean = values.sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        squares = (np.where(is_there, values - mean, 0.0) ** 2).sum(axis=0)
        total = self.count + count
        share = count / np.maximum(total, 1)
        difference = mean - self._mean
        self._squares += squares + difference**2 * self.count * share
        self._mean += difference * share
        self.count = total
        self._least = np.minimum(self._least, np.where(is_there, block, np.inf).min(axis=0, initial=np.inf))
        self._most = np.maximum(self._most, np.where(is_there, block, -np.inf).max(axis=0, initial=-np.inf))

    @property
    def mean(self) -> NDArray[np.float64]:
        """Of each column, without what rounding adds to a constant; 0 where there is no number."""
        return np.where(self.is_constant & (self.count > 0), self._least, self._mean)

    @property
    def is_constant(self) -> NDArray[np.bool_]:
        """Whether a column has one and the same number, or none."""
        return self._least >= self._most

    @property
    def std(self) -> NDArray[np.float64]:
        """Of each column, of all numbers and not of a sample; 1 for a constant one."""
        return np.where(self.is_constant, 1.0, np.sqrt(self._squares / np.maximum(self.count, 1)))
