"""What people said of faces: whose they are, whose not, or that they are none; kept until a version is trained of it.

One SQLite file in the page's folder, which its owner alone may read: it holds names and descriptors of people.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from cluster.web.face_rows import Face

Kind = Literal["name", "not", "no face"]
KINDS: tuple[Kind, ...] = ("name", "not", "no face")
FILE = "people.sqlite"
SCHEMA = """
create table if not exists decision (
    bundle text not null, run text not null, item text not null, number integer not null,
    kind text not null, person text not null, descriptor text not null, by text not null, at real not null,
    trained text not null default '',
    primary key (bundle, run, item, number, kind, person)
) without rowid;
create table if not exists gone (run text primary key, at real not null);
"""
"""``gone``: since when the cluster is known to have forgotten a run, in seconds since 1970."""


class Decision(NamedTuple):
    """What somebody said of a face, for a bundle."""

    run: str
    item: str
    number: int
    kind: Kind
    person: str
    """Whose it is, or is not; "" of what is no face."""
    descriptor: str
    by: str
    at: float
    """Seconds since 1970."""
    trained: str
    """The run that trained a version of it; "" as long as there is none."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What names the face among all faces."""
        return self.run, self.item, self.number


class Decisions:
    """All decisions of this page. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._lock = threading.Lock()
        self._trained: set[str] = set()

    def is_trained(self, run: str) -> bool:
        """Whether it is known that a run has made its version."""
        return run in self._trained

    def note_trained(self, run: str) -> None:
        """Remember that for as long as this process lives."""
        self._trained.add(run)

    def decide(self, bundle: str, faces: Sequence[Face], kind: Kind, person: str, by: str) -> None:
        """Say something of some faces; what was said of them before, and contradicts it, counts no more.

        A face has one name or is none, and may besides be not any number of people. Said again, nothing changes.
        """
        with self._opened() as base:
            for face in faces:
                self._end_contradictions(base, bundle, face, kind, person)
                base.execute(
                    "insert into decision (bundle, run, item, number, kind, person, descriptor, by, at)"
                    " values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
                    (bundle, *face.key, kind, person, face.descriptor, by, time.time()),
                )

    def take_back(self, bundle: str, kind: Kind, person: str, by: str | None = None) -> None:
        """Unsay of all faces what no version was trained of yet; ``by`` somebody: only what they have said."""
        if self._file.exists():
            with self._opened() as base:
                base.execute(
                    "delete from decision where bundle = ? and kind = ? and person = ? and trained = ''"
                    " and coalesce(?, by) = by",
                    (bundle, kind, person, by),
                )

    def all(self, bundle: str) -> list[Decision]:
        """Everything that was said for a bundle, in the order in which it was said."""
        if not self._file.exists():
            return []
        with self._opened() as base:
            rows = base.execute(
                "select run, item, number, kind, person, descriptor, by, at, trained from decision where bundle = ?"
                " order by at, run, item, number",
                (bundle,),
            )
            return [Decision(*row) for row in rows]

    def note_training(self, bundle: str, decisions: Iterable[Decision], trained: str) -> None:
        """Note that a run trains a version of these; with "" that none does any more, as it failed."""
        with self._opened() as base:
            base.executemany(
                "update decision set trained = ? where bundle = ? and run = ? and item = ? and number = ? and kind = ?"
                " and person = ?",
                [(trained, bundle, *one.key, one.kind, one.person) for one in decisions],
            )

    def runs(self) -> set[str]:
        """The runs of whose faces something was said."""
        if not self._file.exists():
            return set()
        with self._opened() as base:
            return {run for (run,) in base.execute("select distinct run from decision")}

    def trainings(self, run: str) -> set[tuple[str, str]]:
        """The bundle, and what trained it, of each training that learnt what was said of the faces of a run."""
        if not self._file.exists():
            return set()
        with self._opened() as base:
            rows = base.execute("select distinct bundle, trained from decision where run = ? and trained != ''", (run,))
            return {(str(bundle), str(trained)) for bundle, trained in rows}

    def gone_for_s(self, run: str) -> float:
        """For how many seconds a run is known to be gone; begins with the first call."""
        with self._opened() as base:
            base.execute("insert into gone (run, at) values (?, ?) on conflict do nothing", (run, time.time()))
            [at] = base.execute("select at from gone where run = ?", (run,)).fetchone()
        return time.time() - float(at)

    def is_known(self, run: str) -> None:
        """The cluster knows a run: what ``gone_for_s`` began is over."""
        with self._opened() as base:
            base.execute("delete from gone where run = ?", (run,))

    def forget_run(self, run: str) -> None:
        """Drop all that was said of the faces of a run."""
        if self._file.exists():
            with self._opened() as base:
                base.execute("delete from decision where run = ?", (run,))
                base.execute("delete from gone where run = ?", (run,))

    def forget_person(self, bundle: str, person: str) -> None:
        """Drop all that was said of a person."""
        if self._file.exists():
            with self._opened() as base:
                base.execute("delete from decision where bundle = ? and person = ?", (bundle, person))

    def _end_contradictions(self, base: sqlite3.Connection, bundle: str, face: Face, kind: Kind, person: str) -> None:
        if kind == "not":
            ended, about = "kind = 'name' and person = ?", [person]
        else:
            ended = "(kind != 'not' and not (kind = ? and person = ?)) or (kind = 'not' and person = ?)"
            about = [kind, person, person]
        base.execute(
            f"delete from decision where bundle = ? and run = ? and item = ? and number = ? and ({ended})",  # noqa: S608
            (bundle, *face.key, *about),
        )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if not self._file.exists():
                self._file.touch(mode=0o600)
            with closing(sqlite3.connect(self._file, timeout=10)) as base, base:
                base.execute("pragma secure_delete = on")
                base.executescript(SCHEMA)
                yield base
