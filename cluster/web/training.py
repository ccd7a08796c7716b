"""How a run in rounds learns: its curve, where the time goes, parts that were late. Beside its page, and live on it."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from cluster import texts
from cluster.client.run import Run, Status
from cluster.texts import curve_texts
from cluster.web import render
from cluster.web.charts import Chart, chart, figure

DRAWN = ("loss", *texts.SCORES)
"""What gets a line of its own, as far as rows have it."""
LATEST = 12
"""Rows that the table has."""
MOST_REJECTED = 20
MOST_LATE_SHARDS = 10
EVERY_S = 1.0
"""Seconds between two news of a training to those who watch its run."""


class Share(BaseModel):
    """A part of the time that rounds take."""

    name: str
    where: str
    """"node" or "coordinator"."""
    share: float
    """Of the time of all rounds, 0 to 1."""
    before: float
    """The shares of those that stand before it, summed up."""
    seconds: float
    told: list[str]
    """Name, where, share and time for people."""


class LateShard(BaseModel):
    """A shard whose parts were not there in time."""

    shard: int
    times: int


class Training(BaseModel):
    """How a run in rounds learns, as of its last closed round."""

    run: str
    rounds: int
    """How many are closed."""
    planned: int
    seconds: float
    """Since the run began, when the last round was closed."""
    best: str
    """As "accuracy 0.9512 in round 12"; "" where rows have no score."""
    late: int
    lost: int
    """Those of the late ones that have not come since."""
    rejected: int
    up_bytes: int
    down_bytes: int
    charts: list[Chart]
    heads: list[str]
    rows: list[list[str]]
    """The last rounds, the latest first, a text for each of ``heads``."""
    shares: list[Share]
    late_shards: list[LateShard]
    """Those most often late, at most ten."""
    reasons: list[str]
    """Why parts were rejected: the latest 20."""
    facts: dict[str, str]
    """The figures for people."""
    late_told: str
    """A sentence about ``late_shards``; "" where there are none."""
    travel: str
    """How parts travelled in the last round, and why so; "" where all went by a star that nobody asked for."""


class Course:
    """What a curve comes to, row by row: nothing is kept of a row but what the page shows."""

    def __init__(self) -> None:
        self._rounds = 0
        self._values: dict[str, list[tuple[int, float]]] = {name: [] for name in DRAWN}
        self._latest: deque[Mapping[str, Any]] = deque(maxlen=LATEST)
        self._reasons: deque[str] = deque(maxlen=MOST_REJECTED)
        self._spent: Counter[str] = Counter()
        self._late: Counter[int] = Counter()
        self._sums: Counter[str] = Counter()
        self._best: tuple[str, Mapping[str, Any]] | None = None
        self._fields: dict[str, Any] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Take the next row of the curve."""
        self._rounds += 1
        self._latest.append(row)
        for name, value in curve_texts.every_field([row]).items():
            self._fields.setdefault(name, value)
        for name, values in self._values.items():
            value = row.get(name, row.get(f"{row.get('kind')}_{name}"))
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.append((row["round"], float(value)))
        self._spent.update({name: row.get("times", {}).get(name, 0.0) for name in curve_texts.TIMES})
        self._late.update(row.get("late_shards") or ())
        self._sums.update({name: curve_texts.total([row], name) for name in ("up_bytes", "down_bytes")})
        self._reasons.extend(curve_texts.rejections([row]))
        candidates = [found for found in (self._best, curve_texts.best_of([row])) if found]
        if candidates:
            self._best = curve_texts.best_of([one for _, one in candidates]) or self._best

    def shown(self, run: str, status: Status) -> Training:
        """What there is to show by now."""
        found = status.rounds
        table = curve_texts.Table(self._fields, 0) if self._latest else None
        last = self._latest[-1] if self._latest else {}
        planned, best = found.planned if found else self._rounds, self._told_best()
        late, lost, rejected = (found.late, found.lost, found.rejected) if found else (0, 0, 0)
        up_bytes, down_bytes = self._sums["up_bytes"], self._sums["down_bytes"]
        shards = self._late.most_common(MOST_LATE_SHARDS)
        return Training(
            run=run,
            rounds=self._rounds,
            planned=planned,
            seconds=last.get("at", 0.0),
            best=best,
            late=late,
            lost=lost,
            rejected=rejected,
            up_bytes=up_bytes,
            down_bytes=down_bytes,
            charts=[chart(name, values) for name, values in self._values.items() if values],
            heads=table.heads if table else [],
            rows=[table.cells(row) for row in reversed(self._latest)] if table else [],
            shares=self._shares(),
            late_shards=[LateShard(shard=shard, times=times) for shard, times in shards],
            reasons=list(self._reasons),
            facts={
                "rounds": f"{self._rounds:,} of {planned:,}",
                "best": best or "not known yet",
                "parts late": f"{late:,}",
                "of which lost": f"{lost:,}",
                "rejected": f"{rejected:,}",
                "up, down": f"{render.size(up_bytes)}, {render.size(down_bytes)}",
            },
            late_told=_late_told(shards),
            travel=f"{last['topology']}: {last.get('why', '')}" if last.get("topology") else "",
        )

    def _told_best(self) -> str:
        if self._best is None:
            return ""
        name, row = self._best
        return f"{name} {figure(row[name])} in round {row['round']}"

    def _shares(self) -> list[Share]:
        whole, before, found = sum(self._spent.values()), 0.0, []
        for name, seconds in self._spent.items():
            share = seconds / whole if whole else 0.0
            if share >= 0.005:
                where = "coordinator" if name in curve_texts.COORDINATOR_TIMES else "node"
                told = [name, where, f"{share:.0%}".replace("%", " %"), render.duration(seconds)]
                found.append(Share(name=name, where=where, share=share, before=before, seconds=seconds, told=told))
                before += share
        return found


def _late_told(shards: Sequence[tuple[int, int]]) -> str:
    told = ", ".join(f"{shard} ({times} times)" if times > 1 else f"{shard} (once)" for shard, times in shards)
    return f"Shards that were late most often: {told}." if told else ""


class Live:
    """Reads how a run learns, each round once, and tells those who watch it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._course = Course()
        self._known = ""
        self._told = (-1, -1)
        self._looked_s = 0.0
        self._lock = threading.Lock()

    def look(self, status: Status) -> Training | None:
        """What there is to show, if a round was closed since the last look, or the run has ended; else None.

        Gives something once in ``EVERY_S`` seconds at most, but always at the end of the run.
        """
        now_s = time.monotonic()
        if status.rounds is None or (status.state == "running" and now_s - self._looked_s < EVERY_S):
            return None
        told = (status.rounds.round, status.rounds.late + status.rounds.rejected)
        if told == self._told and status.state == "running":
            return None
        self._told, self._looked_s = told, now_s
        return self.all(status)

    def all(self, status: Status) -> Training:
        """All that there is to show."""
        with self._lock:
            for entry, row in self._run.curve_since(self._known):
                self._known = entry
                self._course.add(row)
            return self._course.shown(self._run.id, status)


class Trainings:
    """How runs learn, for their pages: of runs that were looked at lately only new rounds are read. Any thread may use
    it."""

    MOST = 8

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Live] = OrderedDict()

    def of(self, run: Run, status: Status) -> Training | None:
        """How a run learns; None where it does not go in rounds. ``run_training.html`` shows it as ``training``."""
        if status.rounds is None:
            return None
        with self._lock:
            live = self._known.setdefault(run.id, Live(run))
            self._known.move_to_end(run.id)
            while len(self._known) > self.MOST:
                self._known.popitem(last=False)
        return live.all(status)
