"""The runs of the cluster, and one of them while it goes on."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from cluster import errors, names
from cluster.client.run import Run, Status
from cluster.roles import Role
from cluster.web.channels import Message
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route, Stream, View

PAGE = 50
MOST_NAME_CHARS = 200


class Runs(BaseModel):
    """Runs, the latest first."""

    runs: list[Status]


class OneRun(BaseModel):
    """A run."""

    status: Status


class Watched:
    """Reads one run for all who watch it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told: Status | None = None

    def first(self, after: str) -> Message:
        """The whole status."""
        return self._message(self._run.status(failures=False))

    def look(self) -> Message | None:
        """The status, where it has changed."""
        status = self._run.status(failures=False)
        if self._told is not None and status.model_dump(exclude={"seconds"}) == self._told.model_dump(
            exclude={"seconds"}
        ):
            return None
        self._told = status
        return self._message(status)

    def _message(self, status: Status) -> Message:
        return Message(status.model_dump(mode="json"), is_last=status.state != "running")


def show_all(asked: Asked) -> Runs:
    """All runs."""
    return Runs(runs=asked.web.client.runs(PAGE))


def show(asked: Asked) -> OneRun:
    """One run."""
    return OneRun(status=run_of(asked).status(failures=False))


async def live(asked: Asked) -> StreamingResponse:
    """Events of one run."""
    run = await run_in_threadpool(run_of, asked)
    events = asked.web.channels.listen(
        f"run {run.id}", lambda: Watched(run), asked.request.headers.get("last-event-id", "")
    )
    return StreamingResponse(events, media_type="text/event-stream")


def cancel(asked: Asked) -> None:
    """End a run."""
    run_of(asked, to="change").cancel(f"cancelled by {asked.who.name}")


def run_of(asked: Asked, *, to: Literal["see", "change"] = "see") -> Run:
    """The run of the address, ``{run}``, if the one who asks may see or change it.

    One sees one's own runs, those that are nobody's and those that are shared with the cluster, and changes one's own;
    an operator sees and changes each.

    Raises:
        errors.UnknownRun: There is none, or one may not see it: the answers are the same.
        Problem: One may see it, but not change it (403).
    """
    if not names.is_run(asked.at["run"]):
        raise errors.UnknownRun.of(asked.at["run"][:MOST_NAME_CHARS])
    run = asked.web.client.run(asked.at["run"])
    belongs = run.belongs
    if asked.who.may(Role.OPERATOR) or belongs.owner == asked.who.name:
        return run
    if not belongs.is_seen_by(asked.who.name):
        raise errors.UnknownRun.of(run.id)
    if to == "change":
        whose = f"{belongs.owner}'s" if belongs.owner else "nobody's"
        raise Problem(403, f"the run {run.id} is {whose}: only an operator may change it")
    return run


ROUTES: tuple[Route, ...] = (
    View("/runs", show_all, "runs.html", "The runs, the latest first."),
    View("/runs/{run}", show, "run.html", "One run."),
    Stream("/api/runs/{run}/live", live, "What happens in a run, as it happens.", "text/event-stream"),
    Action("POST", "/api/runs/{run}/cancel", cancel, "End a run and drop its results.", Role.SUBMITTER),
)
