"""The page on which a run in rounds shows how it learns, and its curve as a file."""

from __future__ import annotations

import io

from starlette.responses import Response

from cluster.texts import curve_texts
from cluster.web import training
from cluster.web.problems import Problem
from cluster.web.routes import Asked, Route, Stream, View
from cluster.web.runs import run_of
from cluster.web.training import Training


def show(asked: Asked) -> Training:
    """How one run learns."""
    run = run_of(asked)
    found = training.of(run, run.status(failures=False))
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


ROUTES: tuple[Route, ...] = (
    View("/runs/{run}/training", show, "training.html", "How a run in rounds learns."),
    Stream("/runs/{run}/curve.csv", give_csv, "The rows of a run's curve, as `cluster curve --csv`.", "text/csv"),
)
