"""Splitters cut an input into chunks, lazily; one module for each thing they cut.

A splitter is a plain generator ``split(source, *, chunk_size, ...) -> Iterator[Chunk]``.
It holds one chunk at a time, gives the same chunks for the same input, and never
raises for one bad item: it yields that item with its ``problem`` instead.
"""

from __future__ import annotations

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
"""What one task call gets: one item or several, in the order of the input."""


class NothingToSplit(ValueError):
    """The source holds nothing this splitter can cut; the message names what it looked for."""
