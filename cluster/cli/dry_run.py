"""``cluster submit --dry-run``: what a run would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cluster import logs
from cluster.cli import print_text, shared, texts
from cluster.client import forecast
from splitters import tell_passed_over

if TYPE_CHECKING:
    from cluster.client.forecast import Forecast, Kind
    from cluster.client.submission import Submission
    from cluster.inputs import Source
    from cluster.job import Job

MOST_PROBLEMS = 20


def show(submission: Submission, source: Source, *, known: int | None, as_json: bool) -> int:
    """Print what a run would do; gives the exit code.

    Args:
        submission: Of the run.
        source: What it would read.
        known: How many more files the output has the results of already; None where that was not asked.
        as_json: For scripts.

    Raises:
        errors.NothingToDo: The input holds nothing for the job, as the run would say.
    """
    found = forecast.of(submission, source)
    if known is None and not (found.contents.kinds or found.contents.unreadable):
        next(submission.job.chunks(source, submission.options), None)
    if as_json:
        shared.print_json(_as_json(found, known))
    else:
        print_text("\n".join(_lines(found, known, submission.job)))
    return 0


def _as_json(found: Forecast, known: int | None) -> dict[str, Any]:
    total = asdict(found.contents.total)
    return {
        **total,
        "kinds": {kind: asdict(files) for kind, files in found.contents.kinds.items()},
        "known": known,
        "passed_over": found.contents.passed_over,
        "unreadable": found.contents.unreadable,
        "problems": [{"item": item, "reason": why} for item, why in found.contents.problems.items()],
        "nodes": [{"name": name, "slots": slots} for name, slots in found.slots.items()],
        "rejections": found.rejections,
        "seconds": found.seconds,
        "known_from": None if found.pace is None else {"items": found.pace.items, "runs": found.pace.runs},
    }


def _lines(found: Forecast, known: int | None, job: Job) -> Iterator[str]:
    contents, noun = found.contents, "page" if job.chunk_unit == "in pages" else "item"
    yield f"to read      {_amount(contents.total, noun)}"
    if len(contents.kinds) > 1:
        kinds = sorted(contents.kinds.items(), key=lambda kind: (-kind[1].items, kind[0]))
        yield from (f"  {logs.plain(name):10} {_amount(kind, noun)}" for name, kind in kinds)
    if known is not None:
        yield f"known        {texts.count(known, 'file')}, whose results the output has"
    if told := tell_passed_over(contents.passed_over):
        yield f"passed over  {logs.plain(told)}"
    if contents.unreadable:
        yield f"unreadable   {contents.unreadable}:"
        shown = list(contents.problems.items())[:MOST_PROBLEMS]
        yield from (f"  {logs.plain(item)}: {logs.plain(why)}" for item, why in shown)
        if contents.unreadable > len(shown):
            yield f"  … and {contents.unreadable - len(shown)} more: see --json"
    yield f"done by      {_nodes(found)}"
    yield from (f"  not by {logs.plain(name)}: {logs.plain(why)}" for name, why in sorted(found.rejections.items()))
    yield f"time         {_time(found, job.name, noun)}"
    yield "nothing was begun"


def _nodes(found: Forecast) -> str:
    slots = texts.count(sum(found.slots.values()), "slot")
    if not found.slots:
        return "nobody: no node can do it now"
    if len(found.slots) == 1:
        return f"{logs.plain(*found.slots)}, {slots}"
    names = ", ".join(f"{logs.plain(name)} ({number})" for name, number in sorted(found.slots.items()))
    return f"{names}: {slots}"


def _time(found: Forecast, job: str, noun: str) -> str:
    if not found.contents.total.items:
        return "none"
    if found.pace is None:
        return f"unknown: no run of {job} has ended here lately"
    if found.seconds is None:
        return "unknown: nobody would do it"
    runs = "the last run" if found.pace.runs == 1 else f"the last {found.pace.runs} runs"
    return f"about {texts.duration(found.seconds)}, going by the {texts.count(found.pace.items, noun)} of {runs}"


def _amount(kind: Kind, noun: str) -> str:
    return f"{texts.count(kind.files, 'file')}, {texts.count(kind.items, noun)}, {texts.size(kind.size_bytes)}"
