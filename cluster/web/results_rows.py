"""What a model said of the rows of a table, or of pictures: how often it said what, and the rows by pages."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from aggregators import predictions
from cluster import errors
from cluster.client.run import Run, Status
from cluster.web import results_index
from cluster.web.routes import Asked

if TYPE_CHECKING:
    from cluster.web.results import Query

TABLES = (
    "CREATE TABLE columns (at INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE rows (n INTEGER PRIMARY KEY, cells TEXT NOT NULL)",
    "CREATE TABLE labels (label TEXT PRIMARY KEY, times INTEGER NOT NULL)",
)
"""``cells`` is a JSON list, a value a column."""
LIST = "SELECT cells FROM rows WHERE n > ? ORDER BY n LIMIT ?"
FIND = "SELECT cells FROM rows WHERE instr(lower(cells), ?) ORDER BY n LIMIT ? OFFSET ?"
COUNT = "SELECT count(*) FROM rows WHERE instr(lower(cells), ?)"
MOST_LABELS = 10_000
TOP = 30
Cell = str | int | float | None


class Label(BaseModel):
    """How often the model said a label."""

    label: str
    times: int
    length: float
    """Of its bar, 0 to 1."""


class Rows(BaseModel):
    """What a model said."""

    columns: list[str]
    """The first one is the row's number in the input, or the item's name."""
    rows: list[list[Cell]]
    after: int
    most: int
    total: int
    matching: int
    """Rows that have the letters that were looked for; all where there are none."""
    labels: list[Label]
    """The most frequent ones; none of a model that says numbers."""
    is_whole: bool = True


def show(asked: Asked, run: Run, status: Status) -> Rows | None:
    """Rows of a run's result.

    Raises:
        errors.ClusterError: It has none.
    """
    if status.state == "running":
        return None
    standing = asked.web.results.of(run, status, fill=fill)
    if standing.problem:
        raise errors.ClusterError(standing.problem)
    if standing.file is None:
        return None
    query: Query = asked.query
    with results_index.opened(standing.file) as db:
        columns = [name for (name,) in db.execute("SELECT name FROM columns ORDER BY at")]
        total = int(db.execute("SELECT count(*) FROM rows").fetchone()[0])
        matching, rows = _matching(db, query, total)
        labels = db.execute("SELECT label, times FROM labels ORDER BY times DESC, label LIMIT ?", (TOP,)).fetchall()
    longest = max((times for _, times in labels), default=1)
    return Rows(
        columns=columns, rows=rows, after=query.after, most=query.most, total=total, matching=matching,
        labels=[Label(label=label, times=times, length=times / longest) for label, times in labels],
    )  # fmt: skip


def _matching(db: sqlite3.Connection, query: Query, total: int) -> tuple[int, list[list[Cell]]]:
    letters = query.q.strip().lower()
    if letters:
        given = orjson.dumps(letters).decode()[1:-1]
        matching = int(db.execute(COUNT, (given,)).fetchone()[0])
        found = db.execute(FIND, (given, query.most, query.after))
    else:
        matching, found = total, db.execute(LIST, (query.after, query.most))
    return matching, [orjson.loads(cells) for (cells,) in found]


def fill(run: Run, status: Status, file: Path) -> None:
    """Write the result of a run that is done into its file; holds a part of it at a time."""
    _, parts = run.rendered(run.job.writer("jsonl", status.options), status)
    names, tables = predictions.read(parts)
    labels: Counter[str] = Counter()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = MEMORY")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        for statement in TABLES:
            db.execute(statement)
        db.executemany("INSERT INTO columns (name) VALUES (?)", ((name,) for name in names))
        db.executemany("INSERT INTO rows (cells) VALUES (?)", _cells(tables, labels))
        db.executemany("INSERT INTO labels VALUES (?, ?)", labels.most_common(MOST_LABELS))
        db.execute("COMMIT")


def _cells(tables: Iterable[predictions.Table], labels: Counter[str]) -> Iterator[tuple[str]]:
    for table in tables:
        said: Iterable[Any] = table.columns.get(predictions.LABEL, ())
        labels.update(label for label in said if isinstance(label, str))
        for row in itertools.zip_longest(table.ids, *table.columns.values()):
            yield (orjson.dumps(row).decode(),)
