"""Words and figures for people that the command line and the page have in common."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

EVENTS = {
    "begun": "begun",
    "coordinator": "coordinated by",
    "first-part": "first part from",
    "failed": "attempt failed:",
    "killed": "process ended:",
    "lost": "handed to others:",
    "redelivered": "redelivered:",
    "speculative-copy": "begun elsewhere as well:",
    "dead-lettered": "given up:",
    "item-by-item": "done item by item from now on:",
    "rejected": "rejected by",
    "input-read": "input read to its end",
    "paused": "paused:",
    "gone-on": "gone on with by",
}
"""How a run's changes read."""
SCORES = ("accuracy", "rmse")
"""What says how good a model is. Of ``accuracy`` more is better, of ``rmse`` less."""
MOST_FAILURES = 20
UNITS = ("bytes", "KiB", "MiB", "GiB")
MIN_COLUMN = 10
"""Characters of text in a line, however narrow the terminal."""


def scores_of(figures: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Those of ``SCORES`` that a row of a curve has, also on test rows."""
    names = (*SCORES, *(f"test_{name}" for name in SCORES))
    return [(name, figures[name]) for name in names if isinstance(figures.get(name), int | float)]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """The lines of a table; one column where a terminal of that width has no room for it."""
    lines = [heads, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        return [line for row in rows for line in _column(heads, row, width)]
    return ["  ".join(word.ljust(size) for word, size in zip(line, widths, strict=True)).rstrip() for line in lines]


def _column(names: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """A row of a table below itself: the first word, then a line for each other one, wrapped."""
    lines = [row[0]]
    for name, word in zip(names[1:], row[1:], strict=True):
        begin = f"  {name.lower():12} "
        room = max(width, len(begin) + MIN_COLUMN)
        lines += textwrap.wrap(
            word, room, initial_indent=begin, subsequent_indent=" " * len(begin), break_on_hyphens=False
        ) or [begin.rstrip()]  # fmt: skip
    return lines


def count(number: int, noun: str) -> str:
    """``1 chunk``, ``2 chunks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """``7.3 s``, ``2:05 min``, ``3:20:00 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02} h" if hours else f"{minutes}:{second:02} min"


def size(size_bytes: float) -> str:
    """``512 bytes``, ``12.3 MiB``."""
    power = 0
    while size_bytes >= 1024 and power < len(UNITS) - 1:
        size_bytes, power = size_bytes / 1024, power + 1
    return f"{size_bytes:.1f} {UNITS[power]}" if power else f"{size_bytes:.0f} {UNITS[0]}"
