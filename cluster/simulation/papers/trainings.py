"""Many small trainings side by side, each in rounds in one process: the job's own functions."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import multiprocessing
import os
import signal
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from aggregators import codec
from cluster import catalog, errors, rounds
from cluster.job import Job
from cluster.simulation.papers import Row, sorting

VALID = 0.25
"""The share of the rows that curves are measured on. No weights are chosen by it, so no test rows are kept beside."""


class Training(NamedTuple):
    """One run."""

    label: str
    """Of the curve that it belongs to."""
    options: Mapping[str, Any]
    """Of the job train."""
    seed: int = 0
    is_sorted: bool = False
    """Shards are cut from rows sorted by their class."""


class Trained(NamedTuple):
    """What came of it."""

    training: Training
    rows: Sequence[Row]
    """Of the curve, a row a round; a score is that of the weights that the round began with."""
    card: Mapping[str, Any]
    """Of the data, see ``splitters.tables.card``; empty where the training diverged."""
    why_diverged: str = ""
    """Why there are no rows."""


def require() -> None:
    """See that this machine can train.

    Raises:
        errors.JobUnavailable: It cannot.
    """
    if problem := catalog.TRAIN.why_not_here():
        raise errors.JobUnavailable(f"this machine cannot train: {problem}")


def run(training: Training, source: Path) -> Trained:
    """Train, here.

    Raises:
        errors.UsageError: An option or the input cannot be used.
    """
    kept: list[Any] = []

    def keep(state: Any, rows: Sequence[Row], about: bytes) -> Sequence[Row]:
        kept.append(json.loads(about))
        return rows

    job = _job(keep, training.is_sorted)
    options = job.options_of_run({"test": 0.0, "valid": VALID, "seed": training.seed, **training.options})
    try:
        found = rounds.locally(job, [source], options).result
    except (errors.RunFailed, codec.NotEncodable) as error:  # an answer, too: this rate is too high
        return Trained(training, [], {}, str(error))
    if not kept[0]["classes"]:
        raise errors.UsageError(f"{source.name}: the target is a number; these figures are about classes")
    return Trained(training, found, kept[0])


def run_all(trainings: Sequence[Training], source: Path, tell: Callable[[int, int], None]) -> list[Trained]:
    """Train all, as many at a time as this machine has cores; the results come in the order of the trainings.

    Whatever ends this early (Ctrl-C, an error) ends its processes.
    """
    tell(0, len(trainings))
    with _processes(min(cores(), len(trainings))) as pool:
        asked = [pool.submit(run, training, source) for training in trainings]
        try:
            for done, finished in enumerate(futures.as_completed(asked), 1):
                finished.result()
                tell(done, len(trainings))
        except BrokenProcessPool:
            raise errors.RunFailed("a process that trained ended by itself; is there enough memory?") from None
        return [finished.result() for finished in asked]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _processes(count: int) -> Iterator[futures.ProcessPoolExecutor]:
    others = set(multiprocessing.active_children())
    pool = futures.ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _leave_signals_to_the_parent)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown()


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _job(finish: Callable[..., Any], is_sorted: bool) -> Job:
    changed: dict[str, Any] = {"finish": finish}
    if is_sorted:
        changed["split"] = sorting.split
    return dataclasses.replace(catalog.TRAIN, **changed)


class Curve(NamedTuple):
    """Runs that differ in their seed alone."""

    label: str
    runs: Sequence[Trained]

    def values(self, name: str) -> list[float]:
        """Means over the seeds, a round after another; NaN where a run has no such value."""
        if any(trained.why_diverged for trained in self.runs):
            return []
        shortest = min(len(trained.rows) for trained in self.runs)
        return [
            statistics.fmean(trained.rows[at].get(name, math.nan) for trained in self.runs) for at in range(shortest)
        ]

    def ends(self, last: int = 1) -> list[float]:
        """The accuracy at the end of each run: the mean of its last values."""
        found = []
        for trained in self.runs:
            there = [row["accuracy"] for row in trained.rows if "accuracy" in row]
            found.append(statistics.fmean(there[-last:]) if there else math.nan)
        return found

    def end(self, last: int = 1) -> float:
        """The mean of the ends."""
        return statistics.fmean(self.ends(last=last))

    def error(self) -> float:
        """Standard error of the end: of the rows that measured it, and of the seeds, whichever is larger."""
        ends = self.ends()
        if not all(map(math.isfinite, ends)):
            return math.nan
        seeds = statistics.stdev(ends) / math.sqrt(len(ends)) if len(ends) > 1 else 0.0
        rows = self.runs[0].card["rows"]["valid"]
        share = min(max(statistics.fmean(ends), 0.0), 1.0)
        return max(seeds, math.sqrt(share * (1 - share) / rows))

    @property
    def guess(self) -> float:
        """The accuracy of who always says the most frequent class."""
        counts = self.runs[0].card["class_rows"]["valid"]
        return float(max(counts) / max(1, sum(counts)))

    def why_worthless(self, last: int = 1) -> str:
        """Why this curve says nothing, as a sentence, or ""."""
        if diverged := [trained.why_diverged for trained in self.runs if trained.why_diverged]:
            return f"{self.label}: {len(diverged)} of {len(self.runs)} trainings failed: {diverged[0]}"
        if refused := self._refused():
            return refused
        end = self.end(last)
        if not math.isfinite(end):
            return f"{self.label}: it gave no number at its end; the training diverged"
        if end <= self.guess + 3 * self.error():
            return (
                f"{self.label}: the net ended at {end:.3f}, and who always says the most frequent class has"
                f" {self.guess:.3f}; nothing was learnt, so the curve is left out of the picture"
            )
        return ""

    def _refused(self) -> str:
        """Say so where most parts were refused: such a net stays what chance made of it, which may be a good guess."""
        rows = [row for trained in self.runs for row in trained.rows]
        reasons = [why for row in rows for why in row.get("rejected", {}).values()]
        if len(reasons) <= sum(row.get("parts", 0) for row in rows):
            return ""
        return f"{self.label}: {len(reasons)} parts were refused, most of all; the first one as {reasons[0]}"


def curves(found: Sequence[Trained]) -> list[Curve]:
    """The runs by their labels, in their order."""
    labels = dict.fromkeys(trained.training.label for trained in found)
    return [Curve(label, [trained for trained in found if trained.training.label == label]) for label in labels]


def epochs(trained: Trained) -> list[float]:
    """How often the training rows were passed when each round began."""
    options, card = trained.training.options, trained.card
    if not trained.rows:
        return []
    rows = card["rows"]["train"]
    passed, at = 0.0, []
    for row in trained.rows:
        at.append(passed)
        passed += row.get("steps", 0) * min(options.get("batch_size", 32), rows / card["shards"]) / rows
    return at


def first_at(across: Sequence[float], values: Sequence[float], target: float) -> float | None:
    """Where a curve first reaches a value; None where it never does."""
    return next((x for x, value in zip(across, values, strict=False) if value >= target), None)
