"""Hash tables of short words that take many at once: by numpy, in columns of numbers.

The bytes of a word are one to four numbers of 64 bits. The words that come first get a slot in a table, and all their
like are counted there, a block at a time. The others are held, and summed up together: first they are divided by a
hash, so that equal words come together in small tables that fit into the processor's cache.
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

MAX_WIDTH = 4
"""Numbers that hold a word at most, 8 bytes each, padded with zeros."""
ROUNDS = 8
"""Words that have found no slot by then have none: so no text can be made that takes long."""
MIN_BITS = 8
MAX_SLOTS = 2**16
"""Slots of the table for the first words of a text, which are likely the frequent ones."""
MIN_HELD_ROWS = 2**22
"""Up to here rows are held before they are summed up; then up to twice as many as were left."""
MAX_GROUPS = 256
"""Rows are divided into: as many as 8 bits tell apart, by which numpy sorts fast."""
GROUP_ROWS = 2**17
"""A group of rows has about as many: they and their tables fit into the processor's cache."""
BATCH_ROWS = 2**16
"""Rows that are looked at in one go."""

_chance = random.Random(20261121)  # noqa: S311 - any odd numbers will do
MULTIPLIERS = [[_chance.getrandbits(64) | 1 for _ in range(MAX_WIDTH)] for _ in range(ROUNDS)]


class Rows(NamedTuple):
    """Words of one width: ``columns[0]`` holds the first 8 bytes of each, and so on."""

    columns: list[Numbers]
    weights: Numbers | None
    """How often each word counts; None: once."""

    @property
    def number(self) -> int:
        return len(self.columns[0])

    def at(self, which: Places) -> Rows:
        """Some of them."""
        weights = None if self.weights is None else self.weights.take(which)
        return Rows([column.take(which) for column in self.columns], weights)

    def between(self, first: int, end: int) -> Rows:
        """Some that stand side by side."""
        weights = None if self.weights is None else self.weights[first:end]
        return Rows([column[first:end] for column in self.columns], weights)

    @staticmethod
    def together(some: list[Rows]) -> Rows:
        """All of them; there is at least one."""
        import numpy as np

        if len(some) == 1:
            return some[0]
        columns = [np.concatenate(columns) for columns in zip(*(rows.columns for rows in some), strict=True)]
        weighed = any(rows.weights is not None for rows in some)
        return Rows(columns, np.concatenate([rows.counts() for rows in some]) if weighed else None)

    def counts(self) -> Numbers:
        """Return how often each word counts."""
        import numpy as np

        return np.ones(self.number, np.uint64) if self.weights is None else self.weights

    def text(self) -> bytes:
        r"""The words, with a ``\n`` after each."""
        firsts = range(0, self.number, BATCH_ROWS)
        return b"".join(self.between(first, first + BATCH_ROWS)._text() for first in firsts)

    def _text(self) -> bytes:
        import numpy as np

        *full, last = self.columns
        sizes = np.full(self.number, 8 * len(full) + 2, np.uint8)
        for size in range(1, 8):
            sizes += (last >= np.uint64(1 << 8 * size)).view(np.uint8)
        ends = np.cumsum(sizes, dtype=np.int64)
        codes = np.empty(ends[-1] + 7, np.uint8)
        eight_from = np.ndarray(int(ends[-1]), "<u8", codes, strides=(1,))
        starts = ends - sizes
        eight_from[starts + 8 * len(full)] = last  # the zeros behind a word fall on what is written after it
        for number, column in enumerate(full):
            eight_from[starts + 8 * number] = column
        codes[ends - 1] = ord("\n")
        return codes[:-7].tobytes()


class Table:
    """The words of one width that were added, and how often.

    Holds up to ``MIN_HELD_ROWS`` rows, or two for each distinct word where that is more, of 16 to 40 bytes each; while
    it sums them up half as many again.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._slots: _Slots | None = None
        self._held: list[Rows] = []
        self._most_held = MIN_HELD_ROWS

    def add(self, rows: Rows) -> None:
        """Count them. Either all that are added have weights, or none."""
        if not rows.number:
            return
        if rows.weights is None:  # of a text, in which few words are frequent: these have a slot
            if self._slots is None:
                self._slots = _Slots(MULTIPLIERS[0], self._width, min(rows.number // 4, MAX_SLOTS - 1))
            rows = self._slots.count(rows)
        if rows.number:
            self._held.append(rows)
        if _number(self._held) > self._most_held:
            summed, left = _sum_up(self._held, self._width)
            self._held = summed + left
            self._most_held = max(MIN_HELD_ROWS, 2 * _number(self._held))

    def end(self) -> tuple[list[Rows], list[Rows]]:
        """The words with their sums, none twice; and those that never found a slot, not summed up."""
        summed, left = _sum_up(self._held, self._width)
        return ([self._slots.rows()] if self._slots else []) + summed, left


def _sum_up(held: list[Rows], width: int) -> tuple[list[Rows], list[Rows]]:
    """Sum up rows, and empty the list of them on the way, which saves memory.

    Returns:
        The words with their sums, none twice; and those that never found a slot, not summed up.
    """
    if not held:
        return [], []
    groups = 1  # a power of two
    while groups < MAX_GROUPS and groups * GROUP_ROWS < _number(held):
        groups *= 2
    divided, batch = [], []
    while held:
        batch.append(held.pop())
        if not held or _number(batch) >= BATCH_ROWS:
            divided.append(_divided(Rows.together(batch), groups))
            batch = []
    summed: list[Rows] = []
    left: list[Rows] = []
    for group in range(groups):
        found = _sum([rows.between(ends[group], ends[group + 1]) for rows, ends in divided], width)
        if found[0]:
            summed.append(Rows.together(found[0]))
        left += found[1]
    return summed, left


def _divided(rows: Rows, groups: int) -> tuple[Rows, list[int]]:
    """The rows group by group, and where each group begins and the last one ends."""
    import numpy as np

    if groups == 1:
        return rows, [0, rows.number]
    shift = np.uint64(65 - groups.bit_length())
    group = (_hashed(rows, MULTIPLIERS[0]) >> shift).astype(np.uint8)
    ends = np.cumsum(np.bincount(group, minlength=groups))
    return rows.at(np.argsort(group, kind="stable")), [0, *ends.tolist()]


def _sum(some: list[Rows], width: int) -> tuple[list[Rows], list[Rows]]:
    """Count them in one table after the other: those that found a slot, none twice, and those that found none."""
    summed: list[Rows] = []
    waiting = Rows.together(some)
    for multipliers in MULTIPLIERS[1:]:
        if not waiting.number:
            break
        slots = _Slots(multipliers, width, waiting.number)
        waiting = slots.count(waiting)
        summed.append(slots.rows())
    return summed, [waiting] if waiting.number else []


def _number(rows: Iterable[Rows]) -> int:
    return sum(some.number for some in rows)


def _hashed(rows: Rows, multipliers: list[int]) -> Numbers:
    import numpy as np

    hashed = rows.columns[0] * np.uint64(multipliers[0])
    for column, factor in zip(rows.columns[1:], multipliers[1:], strict=False):
        hashed += column * np.uint64(factor)
    return hashed


class _Slots:
    """The word that came first owns a slot, and all its like are counted there."""

    def __init__(self, multipliers: list[int], width: int, at_least: int) -> None:
        import numpy as np

        bits = max(MIN_BITS, at_least.bit_length())
        self.number = 1 << bits
        self._shift = np.uint64(64 - bits)
        self._multipliers = multipliers
        self._owners = [np.zeros(self.number, np.uint64) for _ in range(width)]
        self._sums = np.zeros(self.number, np.uint64)
        self._fresh = True

    def count(self, rows: Rows) -> Rows:
        """Count those whose slot is theirs; gives the others."""
        import numpy as np

        slots = (_hashed(rows, self._multipliers) >> self._shift).view(np.int64)
        # Of those that take the same slot the last one has it, in each column alike. No word begins with a byte 0.
        takers = slice(None) if self._fresh else np.flatnonzero(self._owners[0].take(slots) == 0)
        self._fresh = False
        for owners, column in zip(self._owners, rows.columns, strict=True):
            owners[slots[takers]] = column[takers]
        same = self._owners[0].take(slots) == rows.columns[0]
        for owners, column in zip(self._owners[1:], rows.columns[1:], strict=True):
            same &= owners.take(slots) == column
        counted = np.flatnonzero(same)  # three times as fast as to take by a mask
        np.add.at(self._sums, slots.take(counted), np.uint64(1) if rows.weights is None else rows.weights.take(counted))
        return rows.at(np.flatnonzero(~same))

    def rows(self) -> Rows:
        """The words with their sums."""
        import numpy as np

        taken = np.flatnonzero(self._sums != 0)
        return Rows([owners.take(taken) for owners in self._owners], self._sums.take(taken))
