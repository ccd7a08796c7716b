"""Count words in columns of numbers: what a dict of words does, by numpy, several times as fast.

The bytes of a word are read as one to four numbers of 64 bits. Words meet in slots, as in a hash table, but all
of them at once; those that find theirs taken by another word go into a next, smaller round.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.uint64]
    Places = NDArray[np.int64]

SPACE = b"\t\n\v\f\r\x1c\x1d\x1e\x1f "
"""The ASCII characters at which ``str.split`` cuts."""
WIDE_SPACE = "\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The others."""
MAX_WIDTH = 4
"""So many numbers hold a word, padded with zeros; longer words go into a dict."""
ROUNDS = 8
"""Words that have found no slot by then go into a dict: no text can be made that takes long."""
MAX_EXACT = 2**53
"""numpy sums up in float64, which is exact below."""

_chance = random.Random(20261121)  # noqa: S311 - any odd numbers will do
MULTIPLIERS = [[_chance.getrandbits(64) | 1 for _ in range(MAX_WIDTH)] for _ in range(ROUNDS)]


class Tally(NamedTuple):
    r"""Words joined by ``\n``, none twice, and how often each was met."""

    words: bytes
    counts: Numbers


class _Words(NamedTuple):
    """Words that lie in a text; ``weights`` says what each counts, None: one."""

    text: bytes
    codes: Bytes
    """The text, with zeros behind it."""
    starts: Places
    lengths: Places
    weights: Numbers | None

    def at(self, which: Places | NDArray[np.bool_]) -> _Words:
        weights = None if self.weights is None else self.weights[which]
        return self._replace(starts=self.starts[which], lengths=self.lengths[which], weights=weights)


def of_text(data: bytes) -> Tally:
    """Count the words that ``data.decode(errors="replace").split()`` gives. Holds about 100 bytes a word."""
    import numpy as np

    text = data if data.isascii() else _with_plain_spaces(data.decode(errors="replace").encode())
    codes = _padded(text)
    ends = np.flatnonzero(codes[: len(text) + 1] <= SPACE[-1])
    is_space = np.isin(np.arange(SPACE[-1] + 1), np.frombuffer(SPACE, np.uint8))[codes[ends]]
    ends = ends if is_space.all() else ends[is_space]
    starts, lengths = _between(ends)
    words = _Words(text, codes, starts, lengths, None)
    return _tally(words if lengths.all() else words.at(lengths > 0))


def add(words: bytes, counts: Numbers) -> Tally:
    r"""Sum up the counts of equal words.

    Args:
        words: Joined by ``\n``.
        counts: One a word.

    Raises:
        ValueError: There are not as many.
    """
    import numpy as np

    codes = _padded(words)
    starts, lengths = _between(np.flatnonzero(codes[: len(words) + 1] == ord("\n")))
    if len(starts) != len(counts):
        raise ValueError(f"a part of {len(starts)} words has {len(counts)} counts")
    return _tally(_Words(words, codes, starts, lengths, counts))


def _with_plain_spaces(text: bytes) -> bytes:
    r"""The text, which is valid UTF-8, with ``\n`` for white space that is not ASCII."""
    import numpy as np

    codes = _padded(text)
    at = np.flatnonzero((codes == 0xC2) | ((codes >= 0xE1) & (codes <= 0xE3)))  # where it may begin
    first, second, third = (codes[at + number].astype(np.uint32) for number in range(3))
    two = first == 0xC2
    characters = np.where(two, second, (first & 15) << 12 | (second & 63) << 6 | third & 63)
    spaces = np.isin(characters, [ord(character) for character in WIDE_SPACE])
    if not spaces.any():
        return text
    changed = codes[: len(text)].copy()
    for number in range(2):
        changed[at[spaces] + number] = ord("\n")
    changed[at[spaces & ~two] + 2] = ord("\n")
    return changed.tobytes()


def _padded(text: bytes) -> Bytes:
    import numpy as np

    return np.frombuffer(text + b"\n" + bytes(8 * MAX_WIDTH), np.uint8)


def _between(ends: Places) -> tuple[Places, Places]:
    """Where what ends there starts, and how long it is."""
    import numpy as np

    starts = np.empty_like(ends)
    starts[0] = 0
    np.add(ends[:-1], 1, out=starts[1:])
    return starts, ends - starts


def _tally(words: _Words) -> Tally:
    import numpy as np

    widths = (words.lengths + 7) >> 3
    if b"\0" in words.text:  # which could not be told from padding
        zeros = np.flatnonzero(words.codes[: len(words.text)] == 0)
        widths[np.searchsorted(words.starts, zeros, side="right") - 1] = 0
    if words.weights is not None and words.weights.sum(dtype=np.float64) >= MAX_EXACT:
        widths[:] = 0
    rest = (widths == 0) | (widths > MAX_WIDTH)
    found, sums = [b""], [np.zeros(0, np.uint64)]
    for width in range(1, MAX_WIDTH + 1):
        at = np.flatnonzero(widths == width)
        for owners, their_sums in _rounds(words, at, width, rest):
            found.append(_text(owners))
            sums.append(their_sums)
    table = _table(words.at(rest))
    joined = b"".join([*found, *(word + b"\n" for word in table)])
    return Tally(joined[:-1], np.concatenate([*sums, np.array(list(table.values()), np.uint64)]))


def _rounds(
    words: _Words, at: Places, width: int, rest: NDArray[np.bool_]
) -> Iterator[tuple[list[Numbers], Numbers]]:  # fmt: skip
    """Words, as columns of numbers, with their sums; those that found no slot are marked in ``rest``."""
    import numpy as np

    columns, weights = _columns(words.at(at), width), None if words.weights is None else words.weights[at]
    for multipliers in MULTIPLIERS:
        if not len(at):
            return
        bits = max(4, len(at).bit_length() - 2)  # a few slots for each distinct word, and few enough for the cache
        slots = columns[0] * np.uint64(multipliers[0])
        for column, factor in zip(columns[1:], multipliers[1:], strict=False):
            slots += column * np.uint64(factor)
        slots = (slots >> np.uint64(64 - bits)).view(np.int64)
        owners = [np.zeros(1 << bits, np.uint64) for _ in columns]
        same = np.ones(len(at), bool)
        for owner, column in zip(owners, columns, strict=True):
            owner[slots] = column  # of those with the same slot the last one stays, in each column alike
            same &= owner[slots] == column
        sums = np.bincount(slots[same], None if weights is None else weights[same])
        taken = np.flatnonzero(sums)
        yield [owner[taken] for owner in owners], sums[taken].astype(np.uint64)
        others = np.flatnonzero(~same)
        at, columns = at[others], [column[others] for column in columns]
        weights = None if weights is None else weights[others]
    rest[at] = True


def _columns(words: _Words, width: int) -> list[Numbers]:
    """The words, of 8 * width - 7 to 8 * width bytes, as so many numbers each."""
    import numpy as np

    masks = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
    eight_from = np.ndarray(len(words.codes) - 7, "<u8", words.codes, strides=(1,))
    columns = [eight_from[words.starts + 8 * number] for number in range(width)]
    columns[-1] &= masks[words.lengths - 8 * (width - 1)]
    return columns


def _text(columns: list[Numbers]) -> bytes:
    r"""The words that these columns hold, with a ``\n`` after each."""
    import numpy as np

    rows = np.empty((len(columns[0]), 8 * len(columns) + 1), np.uint8)
    for number, column in enumerate(columns):
        rows[:, 8 * number : 8 * number + 8] = column.astype("<u8").view(np.uint8).reshape(-1, 8)
    rows[:, -1] = ord("\n")
    return bytes(rows[rows != 0])


def _table(words: _Words) -> dict[bytes, int]:
    table: Counter[bytes] = Counter()
    starts, ends = words.starts.tolist(), (words.starts + words.lengths).tolist()
    weights = [1] * len(starts) if words.weights is None else words.weights.tolist()
    for start, end, weight in zip(starts, ends, weights, strict=True):
        table[words.text[start:end]] += weight
    return table
