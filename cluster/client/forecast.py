"""What a run would do, before it is begun: what its input holds, which nodes would do it, and how long it may take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import errors, functions
from cluster.client import history, machine, session
from cluster.client.memory import Stamp
from cluster.client.nodes import rejections
from cluster.inputs import for_splitter, naming_input
from splitters import PassedOver, files

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.client.submission import Submission
    from cluster.inputs import Source
    from cluster.job import Job
    from splitters.files import Seen

MOST_RUNS = 50
"""Of the cluster's latest runs, those of the job tell how long it takes."""
MOST_PROBLEMS = 1000
HERE = "this machine"


@dataclass
class Kind:
    """The files of one suffix."""

    files: int = 0
    items: int = 0
    size_bytes: int = 0


@dataclass
class Contents:
    """What an input holds."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    """Suffix in lower case, or ``PassedOver.NO_SUFFIX`` -> its files that can be read."""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    """Kind -> how many files the job does not read."""
    problems: dict[str, str] = field(default_factory=dict)
    """Item -> why it cannot be read, as far as shows without reading it; at most ``MOST_PROBLEMS``."""
    unreadable: int = 0
    """How many of these there are."""

    @property
    def total(self) -> Kind:
        """All files that can be read."""
        every = self.kinds.values()
        return Kind(sum(k.files for k in every), sum(k.items for k in every), sum(k.size_bytes for k in every))


class Done(NamedTuple):
    """How much of a job's earlier run one node, or one machine, did."""

    node: str
    items: float
    seconds: float
    slots: int
    """0 where nobody knows any more."""


class Pace(NamedTuple):
    """How long the job took before."""

    items_per_s: float
    items: int
    """Done in the runs that tell it."""
    runs: int


@dataclass
class Forecast:
    """What a run would do."""

    contents: Contents
    slots: Mapping[str, int]
    """Node -> slots that it would fill."""
    rejections: Mapping[str, str]
    """Node -> why it would do nothing."""
    pace: Pace | None
    """None: no run of the job is known."""

    @property
    def seconds(self) -> float | None:
        """How long it may take; None where nobody knows, or nobody is there to do it."""
        if self.pace is None or not self.pace.items_per_s:
            return None
        return self.contents.total.items / self.pace.items_per_s


def of(submission: Submission, source: Source) -> Forecast:
    """Look at the input, the nodes and earlier runs. Begins nothing, neither a run nor a private cluster.

    Raises:
        errors.UsageError: The input cannot be reached.
    """
    client, job, options = submission.client, submission.job, submission.options
    found = contents(job, source, options)
    if not client.is_private:
        nodes = client.nodes()
        slots = {node.name: node.slots_to_fill for node in nodes if node.serves(submission.requirement)}
        done, runs = _done_there(client, job, {node.name: node.slots for node in nodes}, options)
        return Forecast(found, slots, rejections(submission.requirement, nodes), pace(done, runs, slots))
    done, runs = _done_here(client.config.cache_folder, job, options)
    try:
        session.require_here(client.config, job, options)
    except errors.JobUnavailable as error:
        return Forecast(found, {}, {HERE: str(error)}, None)
    slots = {HERE: machine.slots(client.config, job.chunk_memory_bytes(submission.requirement))}
    return Forecast(found, slots, {}, pace(done, runs, slots))


def contents(job: Job, source: Source, options: Mapping[str, Any]) -> Contents:
    """What the input holds, without reading it.

    Raises:
        errors.UsageError: It cannot be reached.
    """
    found, passed_over = Contents(), PassedOver()
    last: Path | None = None
    with naming_input():
        for one in _seen(job, source, options, passed_over):
            if one.problem:
                found.unreadable += 1
                if len(found.problems) < MOST_PROBLEMS:
                    found.problems[one.name] = one.problem
                continue
            kind = found.kinds.setdefault(one.path.suffix.lower() or PassedOver.NO_SUFFIX, Kind())
            kind.items += 1
            if one.path != last:
                last = one.path
                kind.files += 1
                kind.size_bytes += (Stamp.of(one.path) or Stamp(0, 0)).size_bytes
    found.passed_over = passed_over.shown()
    return found


def _seen(job: Job, source: Source, options: Mapping[str, Any], passed_over: PassedOver) -> Iterator[Seen]:
    given = {**options, "passed_over": passed_over}
    if job.look is not None:
        return job.look(for_splitter(source), **functions.taken(job.look, given))
    walk = job.walk or files.walk
    return (files.look(found) for found in walk(for_splitter(source), passed_over=passed_over))


def pace(done: Sequence[Done], runs: int, slots: Mapping[str, int]) -> Pace | None:
    """How fast these nodes together would be, by what they did before.

    A node that has done none of it counts as the others do, a slot for a slot.
    """
    items, seconds = defaultdict[str, float](float), defaultdict[str, float](float)
    per_slot, slot_seconds = 0.0, 0.0
    for one in done:
        items[one.node] += one.items
        seconds[one.node] += one.seconds
        if one.slots:
            per_slot += one.items
            slot_seconds += one.seconds * one.slots
    if not items or not sum(seconds.values()):
        return None
    mean = per_slot / slot_seconds if slot_seconds else 0.0
    speeds = (items[node] / seconds[node] if seconds.get(node) else mean * slots[node] for node in slots)
    return Pace(sum(speeds), round(sum(items.values())), runs)


def _done_here(cache: Path, job: Job, options: Mapping[str, Any]) -> tuple[list[Done], int]:
    pasts = [past for past in history.read(cache) if (past.job, past.version) == (job.name, job.version) and past.items]
    alike = _alike(pasts, job, options)
    return [Done(HERE, past.items, past.seconds, past.slots) for past in alike], len(alike)


def _done_there(
    client: Client, job: Job, slots: Mapping[str, int], options: Mapping[str, Any]
) -> tuple[list[Done], int]:  # fmt: skip
    runs = [
        run for run in client.runs(MOST_RUNS)
        if (run.job, run.version, run.state) == (job.name, job.version, "done") and run.items_done and run.nodes
    ]  # fmt: skip
    alike = _alike(runs, job, options)
    done = [
        Done(node, run.items_done * chunks / sum(run.nodes.values()), run.seconds, slots.get(node, 0))
        for run in alike
        for node, chunks in run.nodes.items()
    ]
    return done, len(alike)


def _alike(runs: Sequence[Any], job: Job, options: Mapping[str, Any]) -> list[Any]:
    """Those with the same options, if there are any."""
    decisive = [option.name for option in job.options]
    same = [run for run in runs if all(run.options.get(name) == options.get(name) for name in decisive)]
    return same or list(runs)
