"""Add up counts of words held in a compact form that packs small and merges fast."""

from __future__ import annotations

import codecs
import functools
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from heapq import nsmallest
from importlib.util import find_spec
from itertools import chain
from operator import itemgetter
from typing import Any, BinaryIO, TypedDict

import orjson

from aggregators import slots, tally

ESCAPED = b'\\"' + bytes(range(0x20)).replace(b"\n", b"")
r"""Bytes that JSON escapes, the backslash first; no word holds ``\n``."""
FEW_BYTES = 32 * 1024
"""Texts and parts up to this size are counted by a dict also where numpy is: it takes a millisecond to begin."""
PIECE_BYTES = 32 * 1024
MUCH_BYTES = 512 * 1024
"""Parts that together have no more are joined without numpy: to import it takes some 60 ms."""
MANY_WORDS = 50_000
"""Words of small parts that a dict holds at most."""


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
    if _has_numpy() and len(data) > FEW_BYTES:
        return _of_tally(tally.of_text(data))
    return of(Counter(data.decode(errors="replace").split()))


def add(parts: Iterable[Counts]) -> Counts:
    """Sum the parts word by word.

    Not idempotent: a part handed in twice counts twice. The ledger lets each part in once.
    Holds one part, and without numpy about 200 bytes a distinct word. With it: numbers of 16 to 40 bytes for each word
    of the parts, up to ``slots.MIN_HELD_ROWS`` of them or two a distinct word, and half as much again.

    Raises:
        ValueError: A part has not as many words as counts.
    """
    many, parts = _looked_at(parts)
    return _of_tally(tally.add(map(_opened, parts))) if many else of(_table(parts))


def check(part: Any, names: Collection[str] | None = None) -> None:
    """See that a part is of the form of ``Counts``, whose words do not depend on the ``names`` of its items.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(part, Mapping) or set(part) != {"words", "counts"}:
        raise ValueError("it has not the two columns of words and counts")
    words, column = part["words"], part["counts"]
    if not isinstance(words, bytes) or not isinstance(column, bytes) or len(column) % 8:
        raise ValueError("its words and counts are no columns")
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(words), PIECE_BYTES):  # all at once it may be four times as long
        decoder.decode(words[at : at + PIECE_BYTES])
    decoder.decode(b"", final=True)
    _check(_number(words) if column else 0, Counts(words=words, counts=column))


def to_dict(counts: Counts, *, top: int | None = None) -> dict[str, int]:
    """``{word: count}``, the most frequent first; only the ``top`` first ones if given.

    Words of equal count stand in the order of their characters when ``top`` is given.
    """
    words, column = _columns(counts)
    entries = zip(words, column, strict=True)
    if top is not None:
        return dict(nsmallest(top, entries, key=lambda entry: (-entry[1], entry[0])))
    return dict(sorted(entries, key=itemgetter(1), reverse=True))


def numbers(counts: Counts) -> array[int]:
    """How often each word was met, in the order of ``words``."""
    return _column(counts)


def write_json(parts: Iterable[Counts], out: BinaryIO, *, top: int | None = None) -> None:
    """Write what ``to_dict`` gives as one JSON object, without a dict of all words."""
    if top is not None:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        out.write(orjson.dumps(to_dict(add(parts), top=top), option=options))
        return
    groups: defaultdict[int, list[bytes]] = defaultdict(list)
    many, parts = _looked_at(parts)
    for count, words in _groups_of_tally(parts) if many else _groups(parts):
        groups[count].append(words)
    between = b'{\n  "'
    for count in sorted(groups, reverse=True):
        end = b'": %d' % count
        for words in groups.pop(count):
            out.write(between + words[:-1].replace(b"\n", end + b',\n  "') + end)
            between = b',\n  "'
    out.write(b"\n}\n" if between[:1] == b"," else b"{}\n")


def _groups(parts: Iterable[Counts]) -> Iterator[tuple[int, bytes]]:
    r"""Counts, each with all its words as they stand in JSON, a ``\n`` after each."""
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for word, count in _table(parts).items():
        groups[count].append(word)
    for count, words in groups.items():
        yield count, _escaped("\n".join([*words, ""]).encode())


def _groups_of_tally(parts: Iterable[Counts]) -> Iterator[tuple[int, bytes]]:
    """The same by numpy; a count may come several times, with other words."""
    import numpy as np

    for words, column in tally.add_in_order(map(_opened, parts)):
        text = _escaped(words)
        last = np.append(column[1:] != column[:-1], [True]).nonzero()[0] if len(column) else np.zeros(0, np.int64)
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))[last] + 1
        begin = 0
        for count, end in zip(column[last].tolist(), ends.tolist(), strict=True):
            yield count, text[begin:end]
            begin = end


def _escaped(words: bytes) -> bytes:
    for code in ESCAPED:
        if (character := bytes([code])) in words:
            words = words.replace(character, orjson.dumps(character.decode())[1:-1])
    return words


@functools.cache
def _has_numpy() -> bool:
    return find_spec("numpy") is not None


def _looked_at(parts: Iterable[Counts]) -> tuple[bool, Iterable[Counts]]:
    """Return whether the parts are large enough for numpy, its import counted, and it is here; and the same parts."""
    if not _has_numpy():
        return False, parts
    most_bytes = FEW_BYTES if "numpy" in sys.modules else MUCH_BYTES
    parts, first, size_bytes = iter(parts), [], 0
    for part in parts:
        first.append(part)
        size_bytes += len(part["words"])
        if size_bytes > most_bytes:
            return True, _gathered(chain(first, parts))
    return False, first


def _gathered(parts: Iterable[Counts]) -> Iterator[Counts]:
    """The parts, small ones together."""
    few: dict[str, int] = {}
    for part in parts:
        if len(part["words"]) > FEW_BYTES:
            yield part
            continue
        few = _table([part], few)
        if len(few) > MANY_WORDS:
            yield of(few)
            few = {}
    if few:
        yield of(few)


def _opened(part: Counts) -> tuple[bytes, slots.Numbers]:
    import numpy as np

    _check(_number(part["words"]) if part["counts"] else 0, part)
    return part["words"], np.frombuffer(part["counts"], "<u8")


def _number(words: bytes) -> int:
    if len(words) <= MUCH_BYTES or not _has_numpy():
        return words.count(b"\n") + 1
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(words, np.uint8) == ord("\n"))) + 1


def _of_tally(found: tally.Tally) -> Counts:
    return Counts(words=found.words[:-1], counts=found.counts.astype("<u8").tobytes())


def _table(parts: Iterable[Counts], table: dict[str, int] | None = None) -> dict[str, int]:
    """The sums; added to those of a ``table``, which is changed, if there is one."""
    table = table or {}
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
