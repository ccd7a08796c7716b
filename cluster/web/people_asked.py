"""What a request about people means: the bundle, the runs whose faces one may name, and what was said of these."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from cluster import names
from cluster.client.run import Status, Which
from cluster.roles import Role
from cluster.web import face_rows, people_training, results_faces
from cluster.web.people_training import Standing
from cluster.web.problems import Problem
from cluster.web.routes import Asked
from cluster.web.runs import seen

MOST_RUNS = 50
"""Runs that are offered, the latest first."""
RUNS_AT_FIRST = 5


def require_numpy() -> None:
    """See that this machine can compare faces.

    Raises:
        Problem: It cannot (503).
    """
    if find_spec("numpy") is None:
        raise Problem(503, "this page's machine cannot compare faces: `pip install 'cluster[faces]'` there")


def bundle_of(asked: Asked) -> str:
    """The bundle of the address."""
    return names.ModelRef.typed(asked.at["bundle"]).name


def runs_of(asked: Asked) -> list[Status]:
    """The runs whose faces one may name, the latest first: done, and sent by this page."""
    seen_by = None if asked.who.may(Role.OPERATOR) else asked.who.name
    which = Which(seen_by=seen_by, state="done", job=face_rows.JOB)
    page = asked.web.client.runs_page(MOST_RUNS, which=which)
    return [run for run in page.runs if run.upload and run.options.get("describe")]


def runs_with(asked: Asked, bundle: str) -> list[Status]:
    """Those of ``runs_of`` that knew people by this bundle, or by none."""
    return [run for run in runs_of(asked) if results_faces.model_of(run) in ("", bundle)]


def chosen_of(asked: Asked, offered: Sequence[Status], runs: str | None = None) -> list[Status]:
    """Those of the runs that were named, by default in the query; where none were, the latest of an upload each."""
    named = (asked.query.run if runs is None else runs).split(",")
    wanted = {run for run in named if run}
    if wanted:
        return [run for run in offered if run.run in wanted]
    latest = {run.upload: run for run in reversed(offered)}
    return [run for run in offered if latest[run.upload] is run][:RUNS_AT_FIRST]


def standing_of(asked: Asked, name: str) -> Standing:
    """What was said of faces of runs that one may see, and what became of it; an operator sees all."""
    found = people_training.look(asked.web, name, asked.web.decisions.all(name))
    if asked.who.may(Role.OPERATOR):
        return found
    may_see = set(seen(asked, {one.run for one in found.decisions} | set(found.training)))
    return found._replace(
        decisions=[one for one in found.decisions if one.run in may_see],
        training=[run for run in found.training if run in may_see],
    )
