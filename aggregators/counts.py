"""Add up counts of words held in a compact form that packs small and merges fast."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from heapq import nsmallest
from operator import itemgetter
from typing import TypedDict


class Counts(TypedDict):
    r"""Words and how often each was met, in two columns of the same length.

    ``words`` is UTF-8 joined by ``\n`` (a word holds no white space, so no ``\n``);
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


def add(parts: Iterable[Counts]) -> Counts:
    """Sum the parts word by word.

    Not idempotent: a part handed in twice counts twice. The ledger lets each part in once.
    Holds one table of the distinct words (about 200 bytes each) and one part.
    """
    return of(_table(parts))


def to_dict(counts: Counts, *, top: int | None = None) -> dict[str, int]:
    """``{word: count}``, the most frequent first; only the ``top`` first ones if given.

    Words of equal count stand in the order of their characters when ``top`` is given.
    """
    entries = zip(*_columns(counts), strict=True)
    if top is not None:
        return dict(nsmallest(top, entries, key=lambda entry: (-entry[1], entry[0])))
    return dict(sorted(entries, key=itemgetter(1), reverse=True))


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
    column = array("Q", part["counts"])
    if sys.byteorder == "big":
        column.byteswap()
    words = part["words"].decode().split("\n") if column else []
    if len(words) != len(column):
        raise ValueError(f"a part of {len(words)} words has {len(column)} counts")
    return words, column
