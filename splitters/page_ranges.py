"""Which pages of a document are wanted: ``1-40,90-``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_RANGE = re.compile(r"(\d{1,9})(-(\d{1,9})?)?", re.ASCII)
FORM = "it must be numbers and ranges of pages, counted from 1, with commas between, as 1-40,90-"


class Range(NamedTuple):
    """Pages ``first`` to ``last``, both included; ``last`` None for all that follow."""

    first: int
    last: int | None


def parse(text: str | None) -> tuple[Range, ...]:
    """The ranges in the order in which they are written; none for None, which stands for all pages.

    Raises:
        ValueError: The text is of another form, or a range ends before it begins.
    """
    return () if text is None else tuple(_parsed(part.strip(), text) for part in text.split(","))


def of(ranges: Sequence[Range], number: int) -> Sequence[int]:
    """The wanted ones of ``number`` pages, rising, each once."""
    if not ranges:
        return range(1, number + 1)
    found: set[int] = set()
    for first, last in ranges:
        found.update(range(first, min(number, number if last is None else last) + 1))
    return sorted(found)


def _parsed(part: str, text: str) -> Range:
    found = _RANGE.fullmatch(part)
    if not found:
        raise ValueError(f"--pages is {text!r}; {FORM}")
    first = int(found[1])
    last = int(found[3]) if found[3] else None if found[2] else first
    if first < 1:
        raise ValueError(f"--pages is {text!r}, with page 0; {FORM}")
    if last is not None and last < first:
        raise ValueError(f"--pages is {text!r}; the range {part} ends before it begins")
    return Range(first, last)
