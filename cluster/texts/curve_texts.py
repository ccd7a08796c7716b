"""The rows of a run's curve as a table for people and as CSV; a row is what ``Run.curve`` gives."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cluster import logs, texts
from cluster.texts import size

Row = Mapping[str, Any]
NODE_TIMES = ("wait", "fetch", "compute", "encode", "push")
COORDINATOR_TIMES = ("read", "step", "write")
TIMES = (*NODE_TIMES, "share", "join", *COORDINATOR_TIMES)
"""The parts of a round's wall time: ``row["times"][name]`` is in seconds."""
GENERIC = (
    "round", "kind", "at", "wall_s", "deadline_s", "parts", "late", "late_shards", "lost", "rejected", "up_bytes",
    "down_bytes", "times", "topology", "why", "site_bytes", "alone",
)  # fmt: skip
"""Fields that a row of any job has; all others are the job's own."""
OWN_FIRST = ("loss", *texts.SCORES)


class Column(NamedTuple):
    """A column of the table."""

    head: str
    text: Callable[[Row], str]
    width: int
    """In characters, at least: a longer text pushes the rest of its line."""


class Table:
    """A table that can be printed row by row, as its columns have fixed widths.

    Args:
        first: A row. The job's own numbers in it become columns.
        room: Characters in a line; None: without limit. The times are left out where they do not fit.
    """

    def __init__(self, first: Row, room: int | None = None) -> None:
        own = [name for name in first if name not in GENERIC and _is_number(first[name])]
        before = [name for name in OWN_FIRST if name in own]
        self._columns = [
            Column("round", lambda row: str(row.get("round", "")), 5),
            Column("kind", lambda row: str(row.get("kind", "")), 5),
            Column("at s", lambda row: _number(row.get("at"), 1), 7),
            *(_own(name) for name in before),
            *map(_counted, ("parts", "late", "lost", "rejected")),
            *(_own(name) for name in own if name not in before),
            Column("up", lambda row: size(row.get("up_bytes", 0)), 9),
            Column("down", lambda row: size(row.get("down_bytes", 0)), 9),
        ]
        times = [
            *map(_time, NODE_TIMES),
            Column("|", lambda row: "|", 1),
            *map(_time, COORDINATOR_TIMES),
            Column("ms", lambda row: "", 2),
        ]
        self.room_for_times = sum(column.width + 1 for column in (*self._columns, *times))
        """Characters that a line with the times takes."""
        self.has_times = room is None or self.room_for_times <= room
        if self.has_times:
            self._columns += times

    @property
    def heads(self) -> list[str]:
        """What stands above each column."""
        return [column.head for column in self._columns]

    def cells(self, row: Row) -> list[str]:
        """One row."""
        return [column.text(row) for column in self._columns]

    @property
    def head(self) -> str:
        """The line above the rows."""
        return self._line(self.heads)

    def line(self, row: Row) -> str:
        """One row as a line."""
        return self._line(self.cells(row))

    def _line(self, words: Iterable[str]) -> str:
        return " ".join(word.rjust(column.width) for word, column in zip(words, self._columns, strict=True)).rstrip()


def every_field(rows: Sequence[Row]) -> Row:
    """A row with all fields that any row has, for ``Table``: rounds of other kinds may tell of other things.

    What only a row of the kind "test" tells, ``test_accuracy`` say, stands in the column ``accuracy``.
    """
    found: dict[str, Any] = {}
    for row in rows:
        names = {name: value for name, value in row.items() if name not in found}
        kind = f"{row.get('kind')}_"
        found |= {name.removeprefix(kind): value for name, value in names.items()}
    return found


def summary(rows: Sequence[Row]) -> list[str]:
    """Tell in a few lines what came of all rounds so far; nothing where there are none."""
    if not rows:
        return []
    last = rows[-1]
    told = [f"{texts.count(len(rows), 'round')} in {texts.duration(last.get('at', 0))}"]
    if best := best_of(rows):
        name, row = best
        told.append(f"best {name} {row[name]:.4f} in round {row['round']}")
    lost, late = total(rows, "lost"), total(rows, "late")
    counts = f"{texts.count(late, 'part')} late, of which {lost} lost; {total(rows, 'rejected')} rejected"
    traffic = f"up {size(total(rows, 'up_bytes'))}, down {size(total(rows, 'down_bytes'))}"
    lines = [", ".join(told), f"{counts}; {traffic}"]
    lines += _shapes(rows)
    if shares := shares_of_times(rows):
        lines.append("time: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    return lines + list(itertools.islice(rejections(rows), texts.MOST_FAILURES))


def _shapes(rows: Sequence[Row]) -> Iterator[str]:
    """How the parts travelled, and why so now; nothing where all went by a star that nobody asked for."""
    told = [row for row in rows if row.get("topology")]
    counts = Counter(row["topology"] for row in told)
    if told:
        each = ", ".join(f"{name} in {texts.count(number, 'round')}" for name, number in counts.items())
        yield f"{each}; {size(total(rows, 'site_bytes'))} to the stores of sites"
        yield logs.plain(f"round {told[-1]['round']}: {told[-1]['topology']}, {told[-1].get('why', '')}")


def rejections(rows: Iterable[Row]) -> Iterator[str]:
    """A line for each part that came and was not used, with the reason."""
    for row in rows:
        for shard, why in (row.get("rejected") or {}).items():
            yield logs.plain(f"round {row['round']}: shard {shard} rejected: {why}")


def best_of(rows: Iterable[Row]) -> tuple[str, Row] | None:
    """Name of the score that the rows have, and the first row with the best one; None where they have none."""
    for name in texts.SCORES:
        scored = [row for row in rows if _is_number(row.get(name))]
        if scored:
            best = max if name == "accuracy" else min
            return name, best(scored, key=lambda row: row[name])
    return None


def shares_of_times(rows: Iterable[Row]) -> dict[str, float]:
    """Part of a round's time -> its share of the time of all rounds, those that took no time left out."""
    spent = {name: sum(row.get("times", {}).get(name, 0.0) for row in rows) for name in TIMES}
    whole = sum(spent.values())
    return {name: seconds / whole for name, seconds in spent.items() if whole and seconds / whole >= 0.005}


def total(rows: Iterable[Row], name: str) -> int:
    """The sum of a number over rows; of ``rejected`` how many there were."""
    return sum(_amount(row.get(name)) for row in rows)


def flat(row: Row) -> dict[str, Any]:
    """A row as cells of a table, times as ``wait_s`` and so on; what is neither number nor text is left out."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if name == "times":
            cells |= {f"{part}_s": value.get(part, 0.0) for part in TIMES}
        elif name == "rejected":
            cells[name] = _amount(value)
        elif isinstance(value, str | int | float):
            cells["at_s" if name == "at" else name] = value
    return cells


def write_csv(rows: Iterable[Row], out: Any) -> None:
    """Write all rows as CSV in UTF-8, a column for each field that any row has."""
    cells = [flat(row) for row in rows]
    names = dict.fromkeys(name for row in cells for name in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    out.write(text.getvalue().encode())


def _own(name: str) -> Column:
    """One of the job's numbers; a row of the kind "test" may have it as ``test_…``."""
    return Column(name, lambda row: _own_text(row.get(name, row.get(f"{row.get('kind')}_{name}"))), max(len(name), 6))


def _counted(name: str) -> Column:
    return Column(name, lambda row: _count(row.get(name)), max(len(name), 5))


def _own_text(value: Any) -> str:
    """A number; one with a fraction in 6 characters where it fits: 0.1235, 12.346, 12346."""
    if not _is_number(value):
        return ""
    if isinstance(value, int) or not math.isfinite(value) or abs(value) >= 1e6:
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{value:.{max(0, 5 - len(str(int(abs(value)))))}f}"


def _time(name: str) -> Column:
    return Column(name, lambda row: _number(row.get("times", {}).get(name), 0, 1000), max(len(name), 6))


def _number(value: Any, digits: int, scale: float = 1) -> str:
    return f"{value * scale:.{digits}f}" if _is_number(value) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> str:
    return "" if value is None else str(_amount(value))


def _amount(value: Any) -> int:
    """How many: a number, or the length of a list or table."""
    return value if isinstance(value, int) else len(value or ())
