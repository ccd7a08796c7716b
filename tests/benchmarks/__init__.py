"""Benchmarks: ``python -m tests.benchmarks [NAME ...]``; ``make bench`` for all but the battle.

Each but ``faces``, which asks how often a name is right, drives the command line as a user does, in processes of its
own, and checks the answer before its time counts. RESULTS.md has the current figures, LOG.md the history.

Those that compare (``contest``) do the same work with us and with others (``peers/``) in turns, and give rows
(``goals``) of one table: ours, theirs, the ratio, the goal. ``--against Spark`` picks among the others;
``python -m tests.benchmarks.table FILE...`` makes one table of what ``--json`` wrote at several times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.goals import Row
from tests.benchmarks.measure import Measured

MB, GiB = 10**6, 2**30


class Options(NamedTuple):
    """What a person may choose."""

    small: bool = False
    """Sizes that end within seconds, to see that the benchmark itself still works."""
    repeat: int = 1
    against: Sequence[str] = ()
    """Only those others in whose names one of these patterns is found, instead of all."""
    files: int | None = None
    """How many files `many-files` has, instead of its own choice."""
    kills: int | None = None
    """How many kills a `battle` or `training-kills` has, instead of its own choice."""
    nodes: int | None = None
    """How many nodes `scaling` has, instead of its own choice."""
    seed: int = 1
    """What a `battle` or `training-kills` draws its plan from."""
    system: str | None = None
    """The one system that a `battle` is fought on, instead of all."""
    keep: Path | None = None
    """Where a `battle` leaves its records and logs, instead of nowhere."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input of a benchmark and what was measured on it."""

    name: str
    amount: float = 0
    """Size of the input in ``unit``."""
    unit: str = ""
    runs: list[Measured] = field(default_factory=list)
    """Empty where the answer was wrong: then no time counts."""
    notes: Mapping[str, float | str] = field(default_factory=dict)
    """What else was found, by its name with its unit."""
    problem: str = ""
    """What is wrong: the answer, or a limit that was exceeded."""
    skipped: str = ""
    """Why it was not run."""
    rows: Sequence[Row] = ()
    """Its lines of the table that all ends with: ours beside another way to do the same."""

    def peak_bytes(self, kind: str) -> int:
        """The most memory that one process of the kind held in any run; 0 if it was never seen."""
        return max(run.rss_bytes.get(kind, 0) for run in self.runs)


Benchmark = Callable[[Options, Path], Iterator[Case]]
"""(options, an empty folder to write to) -> its cases, each as soon as it is done."""


def over(runs: list[Measured], limits_bytes: Mapping[str, int]) -> str:
    """Which kinds of process held more memory than they may, or ""."""
    return "; ".join(
        f"{kind} held {run.rss_bytes[kind] / MB:.0f} MB, the limit is {limit / MB:.0f}"
        for run in runs
        for kind, limit in limits_bytes.items()
        if run.rss_bytes.get(kind, 0) > limit
    )
