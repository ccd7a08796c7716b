"""Means and standard deviations of rows that come in blocks."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FAR = 1000.0
"""Standard deviations that are so many times the range of most values flatten these: scaled, they hardly differ."""
MOST = (5, 95)
"""Percentiles between which most values are."""
LOOKED_AT = 10_000
"""Rows that tell where most values are."""


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
        self._usual: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def add(self, block: NDArray[Any]) -> None:
        """Take in one more block of shape (rows, width)."""
        if self._usual is None and len(block):
            self._usual = usual(block[:LOOKED_AT])
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

    def far_out(self) -> list[FarOut]:
        """The columns that few values flatten."""
        if self._usual is None:
            return []
        low, high = self._usual
        flat = (high > low) & (self.std > FAR * (high - low))
        ends = np.where(np.abs(self._most - high) > np.abs(self._least - low), self._most, self._least)
        return [FarOut(at, float(ends[at]), float(low[at]), float(high[at])) for at in np.flatnonzero(flat).tolist()]


class FarOut(NamedTuple):
    """A column of which some values are so far from the others that these hardly differ once they are scaled."""

    column: int
    farthest: float
    low: float
    """Most of the values of the first block are from here to ``high``."""
    high: float

    def told(self, name: str) -> str:
        """A sentence for the person who submitted."""
        return (
            f"{name} goes to {self.farthest:g}, and most of its values are between {self.low:g} and {self.high:g}:"
            " scaled, these hardly differ; mend numbers that far out, or leave them empty if they are not known"
        )


def usual(block: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(rows, width) -> between which numbers most are, each (width,); NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns without a number
        low, high = np.nanpercentile(block, MOST, axis=0)
    return low, high
