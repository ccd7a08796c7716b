"""Count the words of text."""

from __future__ import annotations

from aggregators import counts
from splitters import Chunk
from tasks import Part


def count_words(chunk: Chunk) -> Part[counts.Counts]:
    """Count the words of all items together.

    A word is what ``str.split()`` gives on the item decoded as UTF-8, invalid bytes replaced by
    U+FFFD. Cutting a text on line borders changes no count: a newline ends every word and every
    incomplete UTF-8 sequence. So the items are one text.
    """
    return Part(counts.of_text(b"\n".join(item.data for item in chunk)))


def why_unavailable() -> str:
    """Nothing is needed but Python; with numpy it is several times as fast."""
    return ""
