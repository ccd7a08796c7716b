"""Join two results in one format: what an output file held before, and what a further run gives for some of its items.

Each function writes to ``out`` the items of ``before`` for which ``is_replaced`` says no, then all of ``fresh``.
Only ``json`` holds both at a time.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import orjson

from aggregators import by_name

ITEM = "item"
"""The key, and the column, with an item's name."""
IsReplaced = Callable[[str], bool]


def json(before: Path, fresh: Path, out: BinaryIO, is_replaced: IsReplaced) -> None:
    """One object ``{item: value}``, as ``by_name.write_json`` writes it.

    Raises:
        ValueError: ``before`` holds something else.
    """
    parts = []
    for path in (before, fresh):
        try:
            part = orjson.loads(path.read_bytes())
        except ValueError:
            part = None
        if not isinstance(part, dict):
            raise ValueError(f"{path} is no JSON object of items, so nothing can be added to it")
        parts.append(part)
    kept = {name: value for name, value in parts[0].items() if not is_replaced(name)}
    by_name.write_json([kept, parts[1]], out)


def jsonl(before: Path, fresh: Path, out: BinaryIO, is_replaced: IsReplaced) -> None:
    """A line an item, as ``by_name.jsonl`` writes it.

    Raises:
        ValueError: ``before`` holds something else.
    """
    with before.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                name = orjson.loads(line)[ITEM]
            except (ValueError, TypeError, LookupError):
                raise ValueError(
                    f"line {number} of {before} is no JSON object with an item: mend or remove it"
                ) from None
            if not is_replaced(name):
                out.write(line if line.endswith(b"\n") else line + b"\n")
    with fresh.open("rb") as lines:
        out.writelines(lines)


def table(before: Path, fresh: Path, out: BinaryIO, is_replaced: IsReplaced) -> None:
    """A CSV table with a column ``item``; names stand in it as ``by_name.cell`` writes them.

    Raises:
        ValueError: ``before`` has other columns than ``fresh``.
    """
    old, new = _rows(before), _rows(fresh)
    head = next(new, [])
    if (old_head := next(old, head)) != head or ITEM not in head:
        raise ValueError(
            f"{before} has the columns {', '.join(old_head)}, and not {', '.join(head)}: name another file"
        )
    column = head.index(ITEM)
    kept = (row for row in old if len(row) <= column or not is_replaced(_name(row[column])))
    for row in itertools.chain([head], kept, new):
        out.write(by_name.line(row))


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        yield from csv.reader(stream)


def _name(cell: str) -> str:
    """The text of which ``by_name.cell`` made this."""
    return cell[1:] if re.match(r"'+[=+\-@\t\r]", cell) else cell
