"""Add up counts of words held in a compact form that packs small and merges fast."""

from __future__ import annotations

import functools
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from importlib.util import find_spec
from operator import itemgetter
from typing import BinaryIO, TypedDict

import orjson

from aggregators import tally

MAX_ROWS = 4_000_000
"""So many words are added up at a time, by numpy, which holds some 150 bytes for each."""
ESCAPED = b'\\"' + bytes(range(0x20)).replace(b"\n", b"")
r"""What stands in JSON in another way, the backslash first; no word holds ``\n``."""


class Counts(TypedDict):
    r"""Words and how often each was met, in two columns of the same length.

    ``words`` is UTF-8 joined by ``\n`` (a word holds no ``\n``);
    ``counts`` is unsigned 64-bit little-endian, one a word. No word stands twice.
    """

    words: bytes
    counts: bytes


def of(table: Mapping[str, int]) -> Counts:
    """The compact form of ``{word: count}``, counts from 1 to 2**64 - 1."""
    column = array("Q", table.values())
    if sys.byteorder == "big":
        column.byteswap()
    return Counts(words="\n".join(table).encode(), counts=column.tobytes())


def of_text(data: bytes) -> Counts:
    """Count the words of a text: what ``str.split()`` gives, invalid UTF-8 replaced by U+FFFD."""
    if _has_numpy():
        return _of_tally(tally.of_text(data))
    return of(Counter(data.decode(errors="replace").split()))


def add(parts: Iterable[Counts]) -> Counts:
    """Sum the parts word by word.

    Not idempotent: a part handed in twice counts twice. The ledger lets each part in once.
    Holds the distinct words, twice, and one part; with numpy ``MAX_ROWS`` words more, otherwise one table of
    200 bytes a word.

    Raises:
        ValueError: A part has not as many words as counts.
    """
    if not _has_numpy():
        return of(_table(parts))
    total = Counts(words=b"", counts=b"")
    for some in _batches(parts):
        total = _add([part for part in (total, *some) if part["counts"]])
    return total


def to_dict(counts: Counts, *, top: int | None = None) -> dict[str, int]:
    """``{word: count}``, the most frequent first; only the ``top`` first ones if given.

    Words of equal count stand in the order of their characters when ``top`` is given.
    """
    words, column = _columns(counts)
    entries = zip(words, column, strict=True)
    if top is not None:
        return dict(nsmallest(top, entries, key=lambda entry: (-entry[1], entry[0])))
    return dict(sorted(entries, key=itemgetter(1), reverse=True))


def write_json(parts: Iterable[Counts], out: BinaryIO, *, top: int | None = None) -> None:
    """Write what ``to_dict`` gives as one JSON object, without a dict of all words."""
    total = add(parts)
    if top is not None or not total["counts"]:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        out.write(orjson.dumps(to_dict(total, top=top), option=options))
        return
    text, column = total["words"], _column(total)
    for code in ESCAPED:
        character = bytes([code])
        if character in text:
            text = text.replace(character, orjson.dumps(character.decode())[1:-1])
    words: defaultdict[int, list[bytes]] = defaultdict(list)
    for word, count in zip(text.split(b"\n"), column, strict=True):
        words[count].append(word)
    between = b'{\n  "'
    for count in sorted(words, reverse=True):
        end = b'": %d' % count
        out.write(between + (end + b',\n  "').join(words.pop(count)) + end)
        between = b',\n  "'
    out.write(b"\n}\n")


@functools.cache
def _has_numpy() -> bool:
    return find_spec("numpy") is not None


def _batches(parts: Iterable[Counts]) -> Iterator[list[Counts]]:
    """The parts, checked, so many at a time as have ``MAX_ROWS`` words together, or one that has more."""
    some: list[Counts] = []
    rows = 0
    for part in parts:
        _check(part["words"].count(b"\n") + 1 if part["counts"] else 0, part)
        some.append(part)
        rows += len(part["counts"]) // 8
        if rows >= MAX_ROWS:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _add(parts: list[Counts]) -> Counts:
    import numpy as np

    if not parts:
        return Counts(words=b"", counts=b"")
    column = np.frombuffer(b"".join(part["counts"] for part in parts), "<u8").astype(np.uint64)
    return _of_tally(tally.add(b"\n".join(part["words"] for part in parts), column))


def _of_tally(found: tally.Tally) -> Counts:
    return Counts(words=found.words, counts=found.counts.astype("<u8").tobytes())


def _table(parts: Iterable[Counts]) -> dict[str, int]:
    table: dict[str, int] = {}
    for part in parts:
        words, column = _columns(part)
        if not table:
            table = dict(zip(words, column, strict=True))
            continue
        get = table.get
        for word, count in zip(words, column, strict=True):
            table[word] = get(word, 0) + count
    return table


def _columns(part: Counts) -> tuple[list[str], array[int]]:
    column = _column(part)
    words = part["words"].decode().split("\n") if column else []
    _check(len(words), part)
    return words, column


def _column(part: Counts) -> array[int]:
    column = array("Q", part["counts"])
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _check(words: int, part: Counts) -> None:
    if 8 * words != len(part["counts"]):
        raise ValueError(f"a part of {words} words has {len(part['counts']) / 8:g} counts")
