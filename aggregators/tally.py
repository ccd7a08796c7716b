"""Count words and add up their counts, by numpy: the same as with a dict of words, several times as fast."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from aggregators import slots

SPACE = b"\n \t\v\f\r\x1c\x1d\x1e\x1f"
"""The ASCII characters at which ``str.split`` cuts, the usual ones first."""
WIDE_SPACE = "\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The others."""
ORDERED_ROWS = 2**18
"""Words in a tally of ``add_in_order`` at most."""
BLOCK_BYTES = 2**20
"""Bytes of text that are counted in one go: they should fit into the processor's cache, with all made of them."""


class Tally(NamedTuple):
    r"""Words with a ``\n`` after each, none twice, and how often each was met."""

    words: bytes
    counts: slots.Numbers


class _Words(NamedTuple):
    """Words that lie in a text."""

    text: bytes
    codes: slots.Bytes
    """The text, with zeros behind it."""
    starts: slots.Places
    lengths: slots.Places
    weights: slots.Numbers | None
    """How often each word counts; None: once."""

    def at(self, which: slots.Places) -> _Words:
        weights = None if self.weights is None else self.weights.take(which)
        return self._replace(starts=self.starts.take(which), lengths=self.lengths.take(which), weights=weights)


def of_text(data: bytes) -> Tally:
    """Count the words that ``data.decode(errors="replace").split()`` gives."""
    return _joined(_tally(map(_of_text, _blocks(data, SPACE))))


def add(parts: Iterable[tuple[bytes, slots.Numbers]]) -> Tally:
    r"""Sum up the counts of equal words.

    Args:
        parts: Words joined by ``\n``, and a count for each. Holds one part, and what ``slots.Table`` does.

    Raises:
        OverflowError: All counts together are not below 2**63.
    """
    return _joined(_tally(_of_parts(parts)))


def add_in_order(parts: Iterable[tuple[bytes, slots.Numbers]]) -> Iterator[Tally]:
    """Like ``add``; gives several tallies without a word in common, the largest counts first in each."""
    import numpy as np

    found, rest = _tally(_of_parts(parts))
    for width in range(1, slots.MAX_WIDTH + 1):
        some = [rows for rows in found if len(rows.columns) == width]
        found = [rows for rows in found if len(rows.columns) > width]
        if some:
            yield from _ordered(some)
    most = rest.most_common()
    words = b"".join(word + b"\n" for word, _ in most)
    yield Tally(words, np.array([count for _, count in most], np.uint64))


def _ordered(some: list[slots.Rows]) -> Iterator[Tally]:
    """The largest counts first, in several tallies. Empties the list, which saves memory."""
    rows = slots.Rows.together(some)
    some.clear()
    order = _by_size(rows.counts())[::-1]
    for first in range(0, rows.number, ORDERED_ROWS):
        few = rows.at(order[first : first + ORDERED_ROWS])
        yield Tally(few.text(), few.counts())


def _by_size(counts: slots.Numbers) -> slots.Places:
    """The order from the smallest to the largest: numpy sorts numbers of 16 bits much faster than longer ones."""
    import numpy as np

    order = np.argsort(counts.astype(np.uint16), kind="stable")
    for bits in range(16, 64, 16):
        digits = (counts >> np.uint64(bits)).astype(np.uint16)
        if digits.any():
            order = order.take(np.argsort(digits.take(order), kind="stable"))
    return order


def _of_parts(parts: Iterable[tuple[bytes, slots.Numbers]]) -> Iterator[_Words]:
    return chain.from_iterable(_of_part(words, counts) for words, counts in parts)


def _of_text(block: bytes) -> _Words:
    import numpy as np

    # No invalid sequence goes on behind a space, so a block can be decoded by itself.
    text = block if block.isascii() else _with_plain_spaces(block.decode(errors="replace").encode())
    codes = _padded(text)
    ends = np.flatnonzero(codes[: len(text) + 1] <= max(SPACE))
    found = codes.take(ends)
    if not ((found == SPACE[0]) | (found == SPACE[1])).all():
        ends = ends[np.isin(found, np.frombuffer(SPACE, np.uint8))]
    starts, lengths = _between(ends)
    words = _Words(text, codes, starts, lengths, None)
    return words if lengths.all() else words.at(np.flatnonzero(lengths > 0))


def _of_part(words: bytes, counts: slots.Numbers) -> Iterator[_Words]:
    import numpy as np

    at = 0
    for text in _blocks(words, b"\n") if len(counts) else ():
        codes = _padded(text)
        starts, lengths = _between(np.flatnonzero(codes[: len(text) + 1] == ord("\n")))
        yield _Words(text, codes, starts, lengths, counts[at : at + len(starts)])
        at += len(starts)


def _blocks(text: bytes, spaces: bytes) -> Iterator[bytes]:
    """The text in blocks, cut where there is a space, which is in none of them."""
    any_space = re.compile(b"[" + spaces + b"]")
    at = 0
    while len(text) - at > BLOCK_BYTES:
        end = _last(text, spaces[:2], at)
        if end < 0:
            end = _last(text, spaces[2:], at)
        if end < 0:  # one very long word
            found = any_space.search(text, at + BLOCK_BYTES)
            end = found.start() if found else len(text)
        yield text[at:end]
        at = end + 1
    if at <= len(text):
        yield text[at:]


def _last(text: bytes, spaces: bytes, at: int) -> int:
    """Where the last of these spaces is in a block, or -1."""
    return max((text.rfind(space, at, at + BLOCK_BYTES) for space in spaces), default=-1)


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


def _padded(text: bytes) -> slots.Bytes:
    import numpy as np

    return np.frombuffer(text + b"\n" + bytes(8 * slots.MAX_WIDTH), np.uint8)


def _between(ends: slots.Places) -> tuple[slots.Places, slots.Places]:
    """Return the starts and lengths of the words with these ends."""
    import numpy as np

    starts = np.empty_like(ends)
    starts[0] = 0
    np.add(ends[:-1], 1, out=starts[1:])
    return starts, ends - starts


def _tally(blocks: Iterable[_Words]) -> tuple[list[slots.Rows], Counter[bytes]]:
    """Words that were short enough for the tables, and the others."""
    import numpy as np

    tables = {width: slots.Table(width) for width in range(1, slots.MAX_WIDTH + 1)}
    rest: Counter[bytes] = Counter()
    total = 0.0
    for words in blocks:
        total += len(words.starts) if words.weights is None else float(words.weights.sum(dtype=np.float64))
        if total >= 2**63:
            raise OverflowError(f"counts add up to {total:.3g}, which is not below 2**63")
        widths = _widths(words)
        for width, table in tables.items():
            mine = widths == width
            table.add(_rows(words.at(np.flatnonzero(mine)), width))
            others = np.flatnonzero(~mine)
            words, widths = words.at(others), widths.take(others)
        for word, count in _one_by_one(words):
            rest[word] += count
    found = []
    for table in tables.values():
        summed, without_slot = table.end()
        found += summed
        for rows in without_slot:
            for word, count in zip(rows.text().split(b"\n")[:-1], rows.counts().tolist(), strict=True):
                rest[word] += count
    return found, rest


def _joined(counted: tuple[list[slots.Rows], Counter[bytes]]) -> Tally:
    import numpy as np

    found, rest = counted
    words = b"".join([*(rows.text() for rows in found), *(word + b"\n" for word in rest)])
    column = [*(rows.counts() for rows in found), np.array(list(rest.values()), np.uint64)]
    return Tally(words, np.concatenate(column))


def _widths(words: _Words) -> slots.Places:
    """How many numbers hold each word; 0 for those that hold a byte 0, which could not be told from padding."""
    import numpy as np

    widths = (words.lengths + 7) >> 3
    if b"\0" in words.text:
        zeros = np.flatnonzero(words.codes[: len(words.text)] == 0)
        widths[np.searchsorted(words.starts, zeros, side="right") - 1] = 0
    return widths


def _rows(words: _Words, width: int) -> slots.Rows:
    """Words of 8 * width - 7 to 8 * width bytes as numbers."""
    import numpy as np

    eight_from = np.ndarray(len(words.codes) - 7, "<u8", words.codes, strides=(1,))
    columns = [eight_from[words.starts + 8 * number] for number in range(width)]
    behind = ((8 * width - words.lengths) << 3).view(np.uint64)
    columns[-1] <<= behind
    columns[-1] >>= behind
    return slots.Rows(columns, words.weights)


def _one_by_one(words: _Words) -> Iterator[tuple[bytes, int]]:
    starts, ends = words.starts.tolist(), (words.starts + words.lengths).tolist()
    weights = [1] * len(starts) if words.weights is None else words.weights.tolist()
    return ((words.text[start:end], weight) for start, end, weight in zip(starts, ends, weights, strict=True))
