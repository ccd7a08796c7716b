"""Splitters cut an input into chunks, lazily; one module for each thing they cut.

A splitter is a plain generator ``split(source, *, chunk_size, ...) -> Iterator[Chunk]``.
It holds one chunk at a time, gives the same chunks for the same input, and never
raises for one bad item: it yields that item with its ``problem`` instead. With a parameter
``passed_over`` it is given a ``PassedOver``, to which it adds the files that it leaves out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

MAX_ITEM_BYTES = 256 * 2**20
"""The largest item a splitter yields, in bytes (Redis takes values up to 512 MiB)."""


class Item(NamedTuple):
    """One piece of input with its bytes, as a task sees it."""

    name: str
    """Unique in a run: the path relative to the given folder, with ``/`` on every system."""

    data: bytes
    """The bytes, at most ``MAX_ITEM_BYTES``; empty where ``problem`` is set."""

    problem: str = ""
    """Why the item could not be read. Such an item is reported and goes to no node."""

    last: bool = True
    """False for every slice but the last of an input that was cut; progress counts the last ones."""


Chunk = list[Item]
"""The items of one task call: one or several, in the order of the input."""


class PassedOver:
    """Counts the files of given folders that a splitter leaves out, by kind: their suffix in lower case.

    Holds up to ``MOST_KINDS`` kinds; a suffix that is long, or has other characters than ASCII letters and digits,
    counts as ``OTHERS``.
    """

    MOST_KINDS = 1000
    MOST_SHOWN = 10
    MOST_SUFFIX_CHARS = 10
    NO_SUFFIX = "without a suffix"
    OTHERS = "others"

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count a file of this name."""
        kind = os.path.splitext(name)[1].lower() or self.NO_SUFFIX  # noqa: PTH122 - a Path for each of very many takes long
        if kind not in self._kinds:
            is_plain = len(kind) <= self.MOST_SUFFIX_CHARS and kind.isascii() and kind[1:].isalnum()
            if len(self._kinds) >= self.MOST_KINDS or not (is_plain or kind == self.NO_SUFFIX):
                kind = self.OTHERS
        self._kinds[kind] += 1

    def clear(self) -> None:
        """Begin anew."""
        self._kinds.clear()

    def shown(self) -> dict[str, int]:
        """The ``MOST_SHOWN`` most frequent kinds, and all others as ``OTHERS``, which comes last."""
        kinds = Counter(self._kinds)
        others = kinds.pop(self.OTHERS, 0)
        shown = dict(kinds.most_common(self.MOST_SHOWN))
        others += kinds.total() - sum(shown.values())
        return {**shown, self.OTHERS: others} if others else shown


def tell_passed_over(kinds: Mapping[str, int]) -> str:
    """A sentence about what ``PassedOver.shown`` gave; "" for nothing."""
    if not kinds:
        return ""
    total = sum(kinds.values())
    files = "1 file is" if total == 1 else f"{total} files are"
    return f"{files} of no kind this job reads ({', '.join(f'{number} {kind}' for kind, number in kinds.items())})"


class NothingToSplit(ValueError):
    """The source holds nothing this splitter can cut; the message names what it looked for."""
