"""A hash table of short words that takes many at once: by numpy, in columns of numbers.

The bytes of a word are one to four numbers of 64 bits. All words of a block are looked up together; those whose slot is
another word's wait, and are counted in a next, smaller table.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.uint64]
    Places = NDArray[np.int64]
    Mask = NDArray[np.bool_]

MAX_WIDTH = 4
"""So many numbers hold a word, padded with zeros."""
ROUNDS = 8
"""Words that have found no slot by then have none: so no text can be made that takes long."""
MIN_BITS = 4

_chance = random.Random(20261121)  # noqa: S311 - any odd numbers will do
MULTIPLIERS = [[_chance.getrandbits(64) | 1 for _ in range(MAX_WIDTH)] for _ in range(ROUNDS)]


class Rows(NamedTuple):
    """Words of one width: ``columns[0]`` holds the first 8 bytes of each, and so on."""

    columns: list[Numbers]
    weights: Numbers | None
    """What each counts; None: one."""

    @property
    def number(self) -> int:
        """How many words they are."""
        return len(self.columns[0])

    def at(self, which: Places | Mask) -> Rows:
        """Some of them."""
        weights = None if self.weights is None else self.weights[which]
        return Rows([column[which] for column in self.columns], weights)

    def counts(self) -> Numbers:
        """What each counts."""
        import numpy as np

        return np.ones(self.number, np.uint64) if self.weights is None else self.weights

    def text(self) -> bytes:
        r"""The words, with a ``\n`` after each."""
        import numpy as np

        codes = np.empty((self.number, 8 * len(self.columns) + 1), np.uint8)
        for number, column in enumerate(self.columns):
            codes[:, 8 * number : 8 * number + 8] = column.astype("<u8").view(np.uint8).reshape(-1, 8)
        codes[:, -1] = ord("\n")
        return bytes(codes[codes != 0])


class Table:
    """The words of one width that were added, and how often. Holds about 50 bytes for each."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._slots: _Slots | None = None
        self._waiting: list[Rows] = []
        self._most_waiting = 0
        self._added = 0

    def add(self, rows: Rows) -> None:
        """Count them."""
        self._added += rows.number
        if self._slots is None:
            self._slots = _Slots(MULTIPLIERS[0], self._width, rows.number // 4)
        left = self._slots.count(rows)
        if 4 * left.number > rows.number and self._slots.number < self._added:
            # All is counted again, also those that wait: a word that has a slot must not wait as well.
            again = [self._slots.rows(), *self._waiting, left]
            self._slots = _Slots(MULTIPLIERS[0], self._width, 2 * self._slots.number)
            self._waiting = [self._slots.count(some) for some in again]
        else:
            self._waiting.append(left)
        if _number(self._waiting) > max(self._slots.number, self._most_waiting):
            summed, left_over = _sum(self._waiting, self._width)
            self._waiting = summed + left_over
            self._most_waiting = 2 * _number(self._waiting)

    def end(self) -> tuple[list[Rows], list[Rows]]:
        """The words with their sums, none twice; and those that never found a slot, not summed up."""
        summed, left = _sum(self._waiting, self._width)
        return ([self._slots.rows()] if self._slots else []) + summed, left


def _sum(waiting: list[Rows], width: int) -> tuple[list[Rows], list[Rows]]:
    """Count them in one table after the other: those that found a slot, none twice, and those that found none."""
    summed = []
    for multipliers in MULTIPLIERS[1:]:
        slots = _Slots(multipliers, width, _number(waiting))
        waiting = [slots.count(rows) for rows in waiting]
        summed.append(slots.rows())
    return summed, [rows for rows in waiting if rows.number]


def _number(rows: Iterable[Rows]) -> int:
    return sum(some.number for some in rows)


class _Slots:
    """The word that came first owns a slot, and all its like are counted there."""

    def __init__(self, multipliers: list[int], width: int, at_least: int) -> None:
        import numpy as np

        bits = max(MIN_BITS, at_least.bit_length())
        self.number = 1 << bits
        self._shift = np.uint64(64 - bits)
        self._multipliers = [np.uint64(factor) for factor in multipliers]
        self._owners = [np.zeros(self.number, np.uint64) for _ in range(width)]
        self._sums = np.zeros(self.number, np.uint64)
        self._fresh = True

    def count(self, rows: Rows) -> Rows:
        """Count those whose slot is theirs; gives the others."""
        import numpy as np

        hashed = rows.columns[0] * self._multipliers[0]
        for column, factor in zip(rows.columns[1:], self._multipliers[1:], strict=False):
            hashed += column * factor
        slots = (hashed >> self._shift).view(np.int64)
        # Of those that take the same slot the last one has it, in each column alike. No word begins with a byte 0.
        takers = slice(None) if self._fresh else np.flatnonzero(self._owners[0][slots] == 0)
        self._fresh = False
        for owners, column in zip(self._owners, rows.columns, strict=True):
            owners[slots[takers]] = column[takers]
        same = self._owners[0][slots] == rows.columns[0]
        for owners, column in zip(self._owners[1:], rows.columns[1:], strict=True):
            same &= owners[slots] == column
        np.add.at(self._sums, slots[same], np.uint64(1) if rows.weights is None else rows.weights[same])
        return rows.at(np.flatnonzero(~same))

    def rows(self) -> Rows:
        """The words with their sums."""
        import numpy as np

        taken = np.flatnonzero(self._sums)
        return Rows([owners[taken] for owners in self._owners], self._sums[taken])
