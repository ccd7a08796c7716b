"""The result of a run: each kind of result has a module that finds what is shown, and a partial that shows it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, Field

from cluster import catalog, errors
from cluster.client.run import Run, Status
from cluster.roles import Role
from cluster.web import (
    downloads,
    forgetting,
    laid_over,
    learnt,
    reports,
    results_counts,
    results_faces,
    results_labels,
    results_rows,
    results_text,
)
from cluster.web.downloads import Download
from cluster.web.kept import Kept
from cluster.web.problems import Problem
from cluster.web.routes import Asked, Route, View
from cluster.web.runs import DoneAgain, done_again, run_of

MOST_ROWS = 500
MOST_QUERY_CHARS = 500
MOST_JSON_CHARS = 100_000
NO_TABLE = "no such table"
"""What SQLite says of a file that something else was written into."""
log = logging.getLogger(__name__)


class Query(BaseModel):
    """What of the result. What a kind of result does not know, it leaves alone."""

    q: str = Field("", max_length=MOST_QUERY_CHARS)
    """Words to look for."""
    item: str = Field("", max_length=4096)
    """The item that is shown; "": the first one."""
    after: int = Field(0, ge=0, le=10**9)
    """Rows that are passed over."""
    most: int = Field(200, ge=1, le=MOST_ROWS)
    """Rows that are listed."""
    sort: str = Field("", max_length=20)
    """The order, of those that this kind has."""
    show: str = Field("", max_length=200)
    """Which rows, of the kinds of rows that this kind has."""


class AnyResult(BaseModel):
    """The result of a job that the page knows nothing more of."""

    json_text: str
    """The beginning of it."""
    is_whole: bool


Found = (
    results_text.Texts
    | results_faces.FacesFound
    | results_counts.WordCounts
    | results_labels.PictureLabels
    | results_rows.Rows
    | reports.Report
    | AnyResult
)
"""Each kind has another model; a further one is added here and in ``KINDS``."""


class Results(BaseModel):
    """The result of a run."""

    status: Status
    kind: str
    """How it is shown: the partial ``results_{kind}.html``."""
    found: Found | None
    """None where there is nothing to show yet, or never will be."""
    is_whole: bool
    """Whether all of the result can be seen; else ask again in a second."""
    problem: str
    """Why nothing is shown, or ""."""
    may_change: bool
    """Whether the one who asks may correct and forget it."""
    models: list[str]
    """That it has made, or that learnt its faces: they stay when it is forgotten. For those who may forget it."""
    formats: list[Download]
    """What can be downloaded."""
    done_again: list[DoneAgain]
    """The runs whose values stand in for some of what is missing."""


_beginnings: Kept[AnyResult] = Kept(16)


class Kind(NamedTuple):
    """How the results of a job are found and shown."""

    name: str
    show: Callable[[Asked, Run, Status], BaseModel | None]
    """Gives what the partial shows; None as long as there is nothing. Raises ``errors.ClusterError`` where there never
    will be. ``asked.query`` is a ``Query``."""


def show_any(asked: Asked, run: Run, status: Status) -> AnyResult | None:
    """The result as JSON."""
    if status.state == "running":
        return None
    followers = asked.web.followers.of(run.id)
    return _beginnings.get(run.id, lambda: _beginning(run, status, followers))


def _beginning(run: Run, status: Status, followers: Sequence[Run]) -> AnyResult:
    job = run.job
    if not job.joins_by_name or job.rounds:
        return _cut(_json(run.result()))
    _, parts = run.rendered(job.writer("json", status.options), status)
    if followers:
        parts = laid_over.parts(parts, laid_over.values(run, followers))
    if job.finish:  # what it is shows once all is joined
        return _cut(_json(job.result(parts, status.options)))
    some, is_all = first_of(parts)
    text = _json(some)
    return AnyResult(json_text=text[:MOST_JSON_CHARS], is_whole=is_all and len(text) <= MOST_JSON_CHARS)


def _cut(text: str) -> AnyResult:
    return AnyResult(json_text=text[:MOST_JSON_CHARS], is_whole=len(text) <= MOST_JSON_CHARS)


def first_of(parts: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], bool]:
    """The first parts in one, as many as ``MOST_JSON_CHARS`` of JSON take; and whether these are all."""
    some: dict[str, Any] = {}
    chars = 0
    for part in parts:
        if chars > MOST_JSON_CHARS:
            return some, False
        chars += len(_json(part)) - len("{\n\n}")
        some |= part
    return some, True


def _json(value: Any) -> str:
    return orjson.dumps(
        value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY, default=repr
    ).decode()


ANY = Kind("any", show_any)
REPORT = Kind("report", reports.show)
KINDS: Mapping[str, Kind] = {
    "ocr": Kind("text", results_text.show),
    "faces": Kind("faces", results_faces.show),
    "wordcount": Kind("counts", results_counts.show),
    "predict": Kind("rows", results_rows.show),
    "onnx": Kind("labels", results_labels.show),
}
"""Job -> how its results are shown; of jobs that train as a report, of all others as JSON."""


def show(asked: Asked) -> Results:
    """The result of a run."""
    run = run_of(asked)
    forgetting.sweep(asked.web)
    status = run.status(failures=False)
    kind = _kind(status.job)
    found, problem = None, ""
    if status.state in ("failed", "cancelled"):
        how = "failed" if status.state == "failed" else "was cancelled"
        problem = f"The run {how}, so it has no result ({status.why or 'nobody has said why'})"
    else:
        try:
            found = kind.show(asked, run, status)
        except errors.UnknownRun:
            raise
        except errors.ClusterError as error:
            problem = str(error)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and NO_TABLE not in str(error):
                raise Problem(503, "the results are being written right now: ask again in some seconds") from None
            # Its file is damaged, or of another job: it is filled again.
            log.warning("the results of %s are read anew", run.id, exc_info=True)
            asked.web.results.forget(run.id)
    is_whole = status.state != "running" and (bool(problem) or (found is not None and getattr(found, "is_whole", True)))
    may_change = _may_change(asked, status)
    return Results(
        status=status, kind=kind.name, found=found, is_whole=is_whole, problem=problem, may_change=may_change,
        models=learnt.models(asked.web, run.id) if may_change else [], formats=downloads.of(run, status),
        done_again=done_again(asked, run, status),
    )  # fmt: skip


def _kind(job: str) -> Kind:
    known = catalog.jobs().get(job)
    return KINDS.get(job) or (REPORT if known is not None and known.trains else ANY)


def _may_change(asked: Asked, status: Status) -> bool:
    is_own = bool(status.owner) and status.owner == asked.who.name
    return asked.who.may(Role.OPERATOR) or (is_own and asked.who.may(Role.SUBMITTER))


ROUTES: tuple[Route, ...] = (
    View("/runs/{run}/results", show, "results.html", "The result of a run.", query=Query, by_link=True),
)
