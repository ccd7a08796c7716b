"""The results of runs as SQLite files, one a run, so that the page finds and shows some of many at once.

A file is a cache: it is filled from the cluster when somebody looks, while the run goes on or after, and can be dropped
and filled again as long as the cluster has the run. Of ``ocr`` it is what ``--format sqlite`` writes; of other jobs
whose result maps names to values it has the table ``items``.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import redis

from aggregators import readings_sqlite
from cluster import errors
from cluster.web import corrections, laid_over

if TYPE_CHECKING:
    from cluster.client.run import Run, Status

BATCH_ITEMS = 20_000
"""Items that are written in one transaction."""
WAIT_S = 1.0
"""How long a look waits for a file that is being filled: most are whole by then."""
MOST_UNSEEN_S = 600.0
"""A run that goes on is followed until nobody has looked at its results for so long."""
ITEMS = """
CREATE TABLE IF NOT EXISTS items (
    n INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL
)
"""
"""``value`` is JSON; ``n`` counts in the order of the result, or in which items came while the run went on."""
ADD_ITEM = "INSERT INTO items (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
LAID = "CREATE TABLE IF NOT EXISTS laid (run TEXT PRIMARY KEY)"
"""The runs whose values were laid over this one's."""
FORM = 1
"""Of the tables in these files. A file of another form is filled anew."""
WHOLE = f"CREATE TABLE IF NOT EXISTS whole_{FORM}_{readings_sqlite.VERSION} (at REAL)"
"""Stands in a file that all of the result is in."""
log = logging.getLogger(__name__)
Fill = Callable[["Run", "Status", Path], None]


class Standing(NamedTuple):
    """How far a run's file is."""

    file: Path | None
    """None as long as there is none to read."""
    is_whole: bool
    """Whether all of the result is in it."""
    problem: str = ""
    """Why it cannot be filled, or ""."""


class _Filling:
    """One file that a thread fills."""

    def __init__(self, *, is_live: bool) -> None:
        self.is_live = is_live
        """The run goes on: what came by now can be read; else nothing until all is written."""
        self.over = threading.Event()
        self.problem = ""
        self.looked_at = time.monotonic()


class _Unseen(Exception):
    """Nobody looks any more."""


class Indexes:
    """The files of all runs. Any thread may use it; of one folder there is one.

    Args:
        folder: Where they lie; it is made.
        corrected: The corrections of texts, which are laid over what was read.
        followers: The runs that did again what was missing, whose values are laid over, too.
    """

    def __init__(self, folder: Path, corrected: corrections.Corrections, followers: laid_over.Followers) -> None:
        self._folder, self._corrected, self._followers = folder, corrected, followers
        self._filling: dict[str, _Filling] = {}
        self._changing: weakref.WeakValueDictionary[str, threading.Lock] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, run: Run, status: Status, wait_s: float = WAIT_S, fill: Fill | None = None) -> Standing:
        """The file of a run, which is filled from now on if it is not yet.

        Args:
            run: The run.
            status: Its status of now.
            wait_s: How long to wait for a file that is not whole, unless the run goes on.
            fill: Writes the result of a run that is done, in a form of its own.
        """
        file = self.file(run.id)
        with self._lock:
            filling = self._filling.get(run.id)
            if filling is None or (filling.problem and filling.over.is_set()):
                filling = None if _is_whole(file) else self._begin(run, status, file, fill)
        if filling is None:
            return self._whole(run, status, file, fill)
        filling.looked_at = time.monotonic()
        filling.over.wait(wait_s if status.state != "running" else 0)
        if not filling.over.is_set():
            return Standing(file if filling.is_live and _has_tables(file) else None, is_whole=False)
        if filling.problem:
            return Standing(None, is_whole=False, problem=filling.problem)
        with self._lock:
            self._filling.pop(run.id, None)
        return Standing(file, is_whole=True)

    def file(self, run: str) -> Path:
        """Where the file of a run lies, or would."""
        return self._folder / f"{run}.sqlite"

    def listed(self) -> list[str]:
        """The runs that have a file."""
        return sorted(file.stem for file in self._folder.glob("*.sqlite"))

    def whole(self, run: str) -> Path | None:
        """The file of a run if all of its result is in it."""
        file = self.file(run)
        return file if _is_whole(file) else None

    def digests(self, run: str) -> set[str]:
        """The digests of what was read in a run, as far as its file has them."""
        with suppress(sqlite3.Error), opened(self.file(run)) as db:
            return {digest for (digest,) in db.execute("SELECT digest FROM pages")}
        return set()

    def forget(self, run: str) -> None:
        """Remove the file of a run."""
        with self._changes_of(run), self._lock:
            self._filling.pop(run, None)
            self.file(run).unlink(missing_ok=True)

    def _changes_of(self, run: str) -> threading.Lock:
        """Held by whoever adds to the whole file of a run, or removes it; others have theirs."""
        with self._lock:
            return self._changing.setdefault(run, threading.Lock())

    def _whole(self, run: Run, status: Status, file: Path, fill: Fill | None) -> Standing:
        if fill is None:
            with self._changes_of(run.id):
                if not _is_whole(file):  # it was forgotten meanwhile
                    return Standing(None, is_whole=False)
                self._lay_over(run, status, file)
        return Standing(file, is_whole=True)

    def _begin(self, run: Run, status: Status, file: Path, fill: Fill | None) -> _Filling:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # of a process that ended in the middle
        file.touch(mode=0o600)
        filling = self._filling[run.id] = _Filling(is_live=status.state == "running")
        threading.Thread(
            target=self._fill, args=(run, status, file, filling, fill), name=f"index {run.id}", daemon=True
        ).start()
        return filling

    def _fill(self, run: Run, status: Status, file: Path, filling: _Filling, fill: Fill | None) -> None:
        def wait() -> None:
            if time.monotonic() - filling.looked_at > MOST_UNSEEN_S:
                raise _Unseen

        try:
            if fill is None:
                self._write(run, status, file, _batches(iter(_parts(run, wait))))
                self._lay_over(run, status, file)
            else:
                fill(run, status, file)
            with _changing(file) as db:
                db.execute(WHOLE)
        except _Unseen:
            self.forget(run.id)
        except Exception as error:
            if not isinstance(error, errors.ClusterError | redis.RedisError):
                log.exception("the results of %s cannot be indexed", run.id)
            filling.problem = str(error) or type(error).__name__
            file.unlink(missing_ok=True)
        finally:
            filling.over.set()

    def _write(
        self, run: Run, status: Status, file: Path, batches: Iterable[Iterable[Mapping[str, Any]]]
    ) -> None:  # fmt: skip
        is_read = "sqlite" in run.job.formats
        for batch in batches:
            if is_read:
                readings_sqlite.write(batch, file, places=True)
            else:
                write_items(batch, file)
        if is_read:
            self._corrected.lay_over(file, status.owner)

    def _lay_over(self, run: Run, status: Status, file: Path) -> None:
        """Add the values of runs that did again what is missing, once each."""
        followers = self._followers.of(run.id)
        with opened(file) as db:
            laid = {name for (name,) in db.execute("SELECT run FROM laid")} if _has(file, "laid") else set()
        if fresh := [one for one in followers if one.id not in laid]:
            self._write(run, status, file, [[laid_over.values(run, fresh)]])
            with _changing(file) as db:
                db.execute(LAID)
                db.executemany("INSERT OR IGNORE INTO laid VALUES (?)", ((one.id,) for one in fresh))


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A file of ours, to read."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
        yield db


def write_items(parts: Iterable[Mapping[str, Any]], file: Path) -> None:
    """Add the items of all parts to the table ``items``; those of the same name are replaced."""
    with _changing(file) as db:
        db.execute(ITEMS)
        for part in parts:
            db.executemany(ADD_ITEM, ((name, _json(value)) for name, value in part.items()))


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


@contextmanager
def _changing(file: Path) -> Iterator[sqlite3.Connection]:
    """One transaction. A crash may spoil the file, which is then none that is whole and is filled again."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = MEMORY")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")


def _parts(run: Run, wait: Callable[[], None]) -> Iterator[Mapping[str, Any]]:
    """What a run has, as mappings of names to values; while it goes on as it comes, and {} now and then."""
    if run.job.joins_by_name:
        yield from run.parts(live=True, on_wait=wait)
        return
    if run.job.trains:  # its result publishes the model
        raise errors.UsageError(f"the job {run.job.name} trains a model: its result is a report, with no items")
    result = run.result()
    if not isinstance(result, Mapping):
        raise errors.UsageError(f"the result of the job {run.job.name} is no mapping of names to values")
    yield result


def _batches(parts: Iterator[Mapping[str, Any]]) -> Iterator[Iterator[Mapping[str, Any]]]:
    """Parts that come without a pause, to be read to their end one batch after the other; none of them is held.

    The last one is empty: a file without an item has its tables, too.
    """
    for first in parts:
        if first:
            yield _batch(first, parts)
    yield iter(())


def _batch(first: Mapping[str, Any], parts: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    items = len(first)
    yield first
    while items < BATCH_ITEMS and (part := next(parts, None)):
        items += len(part)
        yield part


def _is_whole(file: Path) -> bool:
    return _has(file, f"whole_{FORM}_{readings_sqlite.VERSION}")


def _has_tables(file: Path) -> bool:
    return _has(file, "pages") or _has(file, "items")


def _has(file: Path, table: str) -> bool:
    try:
        with opened(file) as db:
            return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone())
    except sqlite3.Error:
        return False
