"""The job ``linecount``: how many lines each text file has."""

from __future__ import annotations

import io
from collections.abc import Iterable

from cluster.job import Job, Option
from splitters import Chunk, lines
from tasks import Part


def count_lines(chunk: Chunk, *, min_length: int = 0) -> Part[dict[str, int]]:
    r"""Count the lines of each item that have at least ``min_length`` characters.

    A line ends with ``\n`` or ``\r\n``, which do not count as characters; a last line without an end is
    a line. Text is UTF-8; a byte that is not counts as a character.

    The splitter cuts a file only after a ``\n``, and no line depends on another, so that the counts
    of a file's slices add up to those of the file.
    """
    counts: dict[str, int] = {}
    for item in chunk:
        long_enough = sum(_length(line) >= min_length for line in io.BytesIO(item.data))
        # Added, not set: two slices of one file may lie in the same chunk.
        counts[item.name] = counts.get(item.name, 0) + long_enough
    return Part(counts)


def add(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Sum per file name: the slices of a file may be in several parts, which come in any order."""
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _length(line: bytes) -> int:
    """In characters, without the line's end."""
    return len(line.removesuffix(b"\r\n").removesuffix(b"\n").decode(errors="surrogateescape"))


JOB = Job(
    name="linecount",
    about="count the lines of text files",
    split=lines.split,
    task=count_lines,
    aggregate=add,
    count=lines.count,
    options=(Option("min_length", int, 0, "only lines of at least so many characters", minimum=0),),
)
