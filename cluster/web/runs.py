"""The runs of the cluster: which one may see, a list of them, and one of them while it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from cluster import catalog, errors, names
from cluster.client.run import Belongs, MissingItem, Reason, Run, Share, Status, Which
from cluster.roles import Role
from cluster.web import forms, live_streams, progress, timeline
from cluster.web.forms import JobForm
from cluster.web.problems import Problem
from cluster.web.progress import Change, Figures
from cluster.web.routes import Action, Asked, Route, Stream, View
from cluster.web.timeline import Timeline
from cluster.web.training import Training
from cluster.web.watched import Watched, WatchedList

PAGE = 50
OWN = 10
"""Own runs that stand above all others."""
MISSING = 20
"""Missing items on the page of a run; the others have a page of their own."""
MOST_MISSING = 200
EVENTS = 50
MOST_NAME_CHARS = 200
MOST_WATCHED = 40
SPANS = {60: "last minute", 600: "last 10 minutes", 0: "whole run"}


class Looked(BaseModel):
    """Which runs are looked for."""

    who: Literal["", "mine", "others", "all"] = ""
    state: Literal["", "running", "paused", "done", "failed", "cancelled"] = ""
    job: str = ""
    q: str = Field("", max_length=64)
    """Stands in the id."""
    before: str = ""


class Listed(BaseModel):
    """Some runs, the latest first."""

    title: str
    who: str
    runs: list[Status]
    before: str
    """The last of them where there are earlier ones, for the next page; else ""."""


class Runs(BaseModel):
    """Runs that one may see: one's own first, unless some are looked for."""

    lists: list[Listed]
    jobs: list[str]
    """The jobs that are installed here, to look for."""


class Span(BaseModel):
    """Which part of the timeline is shown, and how the history."""

    span: Literal["60", "600", "0"] = "60"
    """Seconds up to now; 0 for the whole run."""
    events: Literal["", "problems"] = ""


class DoneAgain(BaseModel):
    """A run that has done some of the items that are missing from another one: that one's result shows its values."""

    run: str
    items: int
    is_seen: bool
    """Whether the one who asks may see that run."""


class Missing(BaseModel):
    """Items that are missing from a result, by pages."""

    run: str
    items: list[MissingItem]
    total: int
    reasons: list[Reason]
    reason: str = ""
    """The one that is looked for."""
    after: int = 0
    """Where the next page begins; 0 behind the last one."""
    upload: str = ""
    may_change: bool = False
    done_again: list[DoneAgain] = []
    """Of ``total``."""
    items_again: dict[str, str] = {}
    """Those of ``items`` that were done again -> the run that did."""


class MissingQuery(BaseModel):
    """Which missing items are looked for."""

    after: int = Field(0, ge=0)
    reason: str = ""


class OneRun(BaseModel):
    """A run."""

    status: Status
    figures: Figures
    timeline: Timeline
    missing: Missing
    changes: list[Change]
    may_change: bool
    """Whether one may cancel, pause and share it."""
    training: Training | None = None
    follows_seen: bool = False
    """Whether one may see the run whose missing items it does again."""
    again: JobForm | None = None
    """The options with which one may do again what is missing; None where its files are not here."""

    @property
    def state(self) -> str:
        """For people."""
        return self.figures.state

    @property
    def about(self) -> str:
        """What its job does, where it is installed here."""
        known = catalog.jobs().get(self.status.job)
        return known.about if known else self.status.job

    @property
    def options(self) -> str:
        """Its options, as they are typed, without those that are the job's defaults."""
        return " ".join(_option(*pair) for pair in _chosen(self.status).items())

    @property
    def joins(self) -> bool:
        """Whether the results of a run that does again what it lacks join its own."""
        known = catalog.jobs().get(self.status.job)
        return known is not None and known.joins_by_name

    @property
    def spans(self) -> dict[int, str]:
        """What the timeline can show."""
        return SPANS


class Sharing(BaseModel):
    """Who sees a run besides its owner."""

    share: Share


class Watching(BaseModel):
    """Which runs are watched."""

    runs: str = Field("", max_length=4000)
    """Their ids, with commas."""


class Events(BaseModel):
    """The history of a run."""

    run: str
    changes: list[Change]
    nodes: dict[str, int]
    """Node -> chunks it has done."""


class EventsQuery(BaseModel):
    """Which changes are looked for."""

    after: str = Field("", pattern=r"^(\d{1,20}-\d{1,20})?$")
    """The id of the last one that is known."""
    q: str = Field("", max_length=200)
    """Stands in the line."""


def show_all(asked: Asked) -> Runs:
    """The runs that one may see."""
    looked: Looked = asked.query
    own, client = asked.who.name, asked.web.client
    which = Which(
        seen_by=None if asked.who.may(Role.OPERATOR) else own, state=looked.state, job=looked.job, text=looked.q
    )
    kinds = {
        "mine": ("Your runs", which._replace(owner=own)),
        "others": ("Runs of others", which._replace(without=own)),
        "all": ("Runs", which),
    }  # fmt: skip
    asked_for = [looked.who] if looked.who else ["mine", "others"]
    lists = []
    for who in asked_for:
        title, wanted = kinds[who]
        page = client.runs_page(PAGE if looked.who or who == "others" else OWN, looked.before, wanted)
        if page.runs or looked.who:
            lists.append(Listed(title=title, who=who, runs=page.runs, before=page.before))
    return Runs(lists=lists, jobs=sorted(catalog.jobs()))


def show(asked: Asked) -> OneRun:
    """One run."""
    run = run_of(asked)
    status = run.status(failures=False)
    now_ms, working = run.working()
    at_ms = now_ms if status.finished_at is None else status.finished_at.timestamp() * 1000
    events = run.events()
    span_s = int(asked.query.span)
    lines = run.timeline(since_ms=int(at_ms - max(span_s, progress.RATE_S) * 1000) if span_s else 0)
    told = [event for event in events if asked.query.events != "problems" or event.event in timeline.MARKED]
    is_own = may_change(asked, run.belongs)
    return OneRun(
        status=status,
        figures=progress.figures(status, lines, now_ms, asked.web.nodes_seen.lately()),
        timeline=timeline.of_lines(
            lines, working, events, status.started_at.timestamp() * 1000, at_ms, span_s
        ),
        missing=_missing(asked, run, status, MissingQuery(), MISSING, is_own=is_own),
        changes=progress.changes(told[-EVENTS:]),
        may_change=is_own,
        training=asked.web.trainings.of(run, status),
        follows_seen=bool(seen(asked, [status.follows])),
        again=_again(asked, status) if is_own else None,
    )  # fmt: skip


def show_timeline(asked: Asked) -> Timeline:
    """Who did what in a span of a run."""
    run, span_s = run_of(asked), int(asked.query.span)

    def make() -> Timeline:
        status = run.status(failures=False)
        now_ms, working = run.working()
        at_ms = now_ms if status.finished_at is None else status.finished_at.timestamp() * 1000
        lines = run.timeline(since_ms=int(at_ms - span_s * 1000) if span_s else 0)
        began_ms = status.started_at.timestamp() * 1000
        return timeline.of_lines(lines, working, run.events(), began_ms, at_ms, span_s)

    return asked.web.timelines.get((run.id, span_s), make)


def show_missing(asked: Asked) -> Missing:
    """The items that are missing from a result."""
    run = run_of(asked)
    return _missing(
        asked, run, run.status(failures=False), asked.query, MOST_MISSING, is_own=may_change(asked, run.belongs)
    )  # fmt: skip


def show_events(asked: Asked) -> Events:
    """The history of a run."""
    run = run_of(asked)
    wanted = asked.query.q.lower()
    found = progress.changes(run.events(asked.query.after))
    changes = [one for one in found if wanted in f"{one.what} {one.about}".lower()]
    return Events(run=run.id, changes=changes, nodes=run.status(failures=False).nodes)


async def live_list(asked: Asked) -> StreamingResponse:
    """Events of some runs."""
    runs = await run_in_threadpool(seen, asked, asked.query.runs.split(",")[:MOST_WATCHED])

    def see(now: Asked) -> None:
        if seen(now, runs) != runs:
            raise errors.UnknownRun("one of these runs is seen no more: ask for the others again")

    return live_streams.events(asked, f"runs {' '.join(runs)}", lambda: WatchedList(runs, asked.web), see)


async def live(asked: Asked) -> StreamingResponse:
    """Events of one run."""
    run = await run_in_threadpool(run_of, asked)
    return live_streams.events(asked, f"run {run.id}", lambda: Watched(run, asked.web), run_of)


def cancel(asked: Asked) -> None:
    """End a run."""
    run_of(asked, to="change").cancel(f"cancelled by {asked.who.name}")


def pause(asked: Asked) -> None:
    """Begin no more of a run."""
    run_of(asked, to="change").pause(f"by {asked.who.name}")


def go_on(asked: Asked) -> None:
    """Go on with a run that is paused."""
    run_of(asked, to="change").go_on(by=asked.who.name)


def share(asked: Asked) -> None:
    """Say who sees a run."""
    run_of(asked, to="change").share(asked.body.share)


def run_of(asked: Asked, *, to: Literal["see", "change"] = "see") -> Run:
    """The run of the address, ``{run}``, if the one who asks may see or change it.

    One sees one's own runs, those that are nobody's, those that are shared with the cluster and those that links
    show, and changes one's own; an operator sees and changes each. Who has nothing but links sees their runs alone.

    Raises:
        errors.UnknownRun: There is none, or one may not see it: the answers are the same.
        Problem: One may see it, but not change it (403).
    """
    who, wanted = asked.who, asked.at["run"]
    if not names.is_run(wanted) or (who.by_link and wanted not in who.shown_runs):
        raise errors.UnknownRun.of(wanted[:MOST_NAME_CHARS])
    run = asked.web.client.run(wanted)
    belongs = run.belongs
    if who.may(Role.OPERATOR) or belongs.owner == who.name:
        return run
    if not _sees(asked, run.id, belongs):
        raise errors.UnknownRun.of(run.id)
    if to == "change":
        whose = f"{belongs.owner}'s" if belongs.owner else "nobody's"
        raise Problem(403, f"the run {run.id} is {whose}: only an operator may change it")
    return run


def seen(asked: Asked, runs: Iterable[str]) -> list[str]:
    """Those of these runs that one may see."""
    found = []
    for run in sorted(set(runs)):
        if names.is_run(run):
            with suppress(errors.UnknownRun):
                if _sees(asked, run, asked.web.client.run(run).belongs):
                    found.append(run)
    return found


def _sees(asked: Asked, run: str, belongs: Belongs) -> bool:
    who = asked.who
    if who.by_link:
        return run in who.shown_runs
    return who.may(Role.OPERATOR) or belongs.is_seen_by(who.name) or run in who.shown_runs


def done_again(asked: Asked, run: Run, status: Status) -> list[DoneAgain]:
    """The runs that have done what is missing from a run, the earliest first, each with the items that it has done."""
    if status.state != "done" or not status.items_failed:
        return []
    items = Counter(asked.web.followers.done_again(run).values())
    visible = seen(asked, items)
    return [DoneAgain(run=one, items=times, is_seen=one in visible) for one, times in items.items()]


def may_change(asked: Asked, belongs: Belongs) -> bool:
    """Whether one may cancel, pause and share a run that one sees."""
    return asked.who.may(Role.OPERATOR) or (asked.who.may(Role.SUBMITTER) and belongs.owner == asked.who.name)


def _missing(
    asked: Asked, run: Run, status: Status, query: MissingQuery, most: int, *, is_own: bool
) -> Missing:  # fmt: skip
    nothing = not status.items_failed
    page = None if nothing else run.missing(query.after, most, query.reason)
    items = page.items if page else []
    by = asked.web.followers.done_again(run) if items and status.state == "done" else {}
    return Missing(
        run=run.id, total=status.items_failed, reason=query.reason, upload=status.upload, may_change=is_own,
        reasons=[] if nothing else asked.web.reasons.get((run.id, status.state), run.reasons),
        items=items, after=page.after if page else 0, done_again=done_again(asked, run, status),
        items_again={one.item: by[one.item] for one in items if one.item in by},
    )  # fmt: skip


def _again(asked: Asked, status: Status) -> JobForm | None:
    """The form with the options that a run had, where what it lacks can be done again."""
    job = catalog.jobs().get(status.job)
    if job is None or status.state != "done" or not (status.items_failed and status.upload):
        return None
    try:
        asked.web.spool.upload(status.upload)
    except Problem:
        return None
    form = forms.form(job, asked.web.client.nodes(), ())
    for field in form.fields:
        field.default = status.options.get(field.name, field.default)
    return form


def _chosen(status: Status) -> dict[str, object]:
    job = catalog.jobs().get(status.job)
    usual = {option.name: option.default for option in (*job.options, job.chunk_size)} if job else {}
    return {name: value for name, value in status.options.items() if usual.get(name) != value}


def _option(name: str, value: object) -> str:
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {value}"


ROUTES: tuple[Route, ...] = (
    View("/runs", show_all, "runs.html", "The runs, the latest first.", query=Looked),
    View("/runs/{run}", show, "run.html", "One run.", query=Span, by_link=True),
    View(
        "/runs/{run}/timeline", show_timeline, "run_timeline.html", "Who did what in a run.", query=Span, by_link=True
    ),
    View(
        "/runs/{run}/missing",
        show_missing,
        "run_missing.html",
        "What a run lacks, and why.",
        query=MissingQuery,
        by_link=True,
    ),
    View(
        "/runs/{run}/events", show_events, "run_events.html", "The history of a run.", query=EventsQuery, by_link=True
    ),
    Stream("/api/runs/live", live_list, "How far some runs are.", "text/event-stream", query=Watching),
    Stream("/api/runs/{run}/live", live, "What happens in a run, as it happens.", "text/event-stream", by_link=True),
    Action("POST", "/api/runs/{run}/cancel", cancel, "End a run and drop its results.", Role.SUBMITTER),
    Action("POST", "/api/runs/{run}/pause", pause, "Begin no more of a run.", Role.SUBMITTER),
    Action("POST", "/api/runs/{run}/go-on", go_on, "Go on with a run that is paused.", Role.SUBMITTER),
    Action("PUT", "/api/runs/{run}/share", share, "Say who sees a run.", Role.SUBMITTER, body=Sharing),
)
