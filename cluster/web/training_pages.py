"""The page on which a run in rounds shows how it learns, its curve as a file, and its model."""

from __future__ import annotations

import io

from starlette.responses import Response

from cluster.roles import Role
from cluster.texts import curve_texts
from cluster.web import publishing
from cluster.web.models import Current
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route, Stream, View
from cluster.web.runs import run_of
from cluster.web.training import Training


def show(asked: Asked) -> Training:
    """How one run learns."""
    run = run_of(asked)
    found = asked.web.trainings.of(run, run.status(failures=False))
    if found is None:
        raise Problem(404, f"the run {run.id} has no curve: its job does not go in rounds, or has not begun them")
    return found


def give_csv(asked: Asked) -> Response:
    """All rows of the curve."""
    run = run_of(asked)
    out = io.BytesIO()
    curve_texts.write_csv(run.curve(), out)
    headers = {"Content-Disposition": f'attachment; filename="{run.id}-curve.csv"'}
    return Response(out.getvalue(), media_type="text/csv", headers=headers)


def publish(asked: Asked) -> Current:
    """Make what a run has trained the first version of its model, an operator also the next one; done twice it changes
    nothing.
    """
    run = run_of(asked, to="change")
    status = run.status(failures=False)
    if not run.job.trains:
        raise Problem(409, f"the run {run.id} trains no model")
    if status.state != "done":
        raise Problem(409, f"the run {run.id} is {status.state}: it has no model")
    if run.report is None:
        publishing.require_may_publish(asked, run, status)
    return Current(current=str(run.publish(publishing.publishes(asked.who))["current"]))


ROUTES: tuple[Route, ...] = (
    View("/runs/{run}/training", show, "training.html", "How a run in rounds learns.", by_link=True),
    Stream(
        "/runs/{run}/curve.csv",
        give_csv,
        "The rows of a run's curve, as `cluster curve --csv`.",
        "text/csv",
        by_link=True,
    ),
    Action("POST", "/api/runs/{run}/publish", publish, "Publish the model of a run that is done.", Role.SUBMITTER),
)
