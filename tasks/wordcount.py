"""Count the words of text."""

from __future__ import annotations

from collections import Counter

from aggregators import counts
from splitters import Chunk
from tasks import Part


def count_words(chunk: Chunk) -> Part[counts.Counts]:
    """Count the words of all items together.

    A word is what ``str.split()`` gives on the item decoded as UTF-8, invalid bytes replaced by
    U+FFFD. Cutting a text on line borders changes no count: a newline ends every word and every
    incomplete UTF-8 sequence.
    """
    table: Counter[str] = Counter()
    for item in chunk:
        table.update(item.data.decode(errors="replace").split())
    return Part(counts.of(table))


def unavailable() -> str:
    """Nothing is needed but Python."""
    return ""
