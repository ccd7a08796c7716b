"""The runs of the cluster, and one of them while it goes on."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import StreamingResponse

from cluster.client.run import Run, Status
from cluster.roles import Role
from cluster.web.channels import Message
from cluster.web.routes import Action, Asked, Route, Stream, View

PAGE = 50


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
    return OneRun(status=_run(asked).status(failures=False))


async def live(asked: Asked) -> StreamingResponse:
    """Events of one run."""
    run = _run(asked)
    events = asked.web.channels.listen(
        f"run {run.id}", lambda: Watched(run), asked.request.headers.get("last-event-id", "")
    )
    return StreamingResponse(events, media_type="text/event-stream")


def cancel(asked: Asked) -> None:
    """End a run."""
    _run(asked).cancel(f"cancelled by {asked.who.name}")


def _run(asked: Asked) -> Run:
    return asked.web.client.run(asked.at["run"])


ROUTES: tuple[Route, ...] = (
    View("/runs", show_all, "runs.html", "The runs, the latest first."),
    View("/runs/{run}", show, "run.html", "One run."),
    Stream("/api/runs/{run}/live", live, "What happens in a run, as it happens.", "text/event-stream"),
    Action("POST", "/api/runs/{run}/cancel", cancel, "End a run and drop its results.", Role.SUBMITTER),
)
