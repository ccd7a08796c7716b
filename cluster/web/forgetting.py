"""Forget a run: what was sent for it, pictures that were made of that, its results wherever they lie, and itself."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel

from cluster import errors
from cluster.client import submission
from cluster.client.run import Status
from cluster.roles import Role
from cluster.web import kept, learnt
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route
from cluster.web.runs import run_of

if TYPE_CHECKING:
    from cluster.web.context import Web

SWEEP_S = 3600.0
GONE_S = 24 * 3600.0
"""Decisions go with a run that Redis has not known for this long, as uploads do."""
log = logging.getLogger(__name__)


class Forgotten(BaseModel):
    """What is gone, and what is not."""

    run: str
    files: int
    """Files that were sent, which are removed with all pictures of them."""
    corrections: int
    """Corrected texts that are removed."""
    upload_of: list[str]
    """Other runs that read the same upload: its files stay until these are forgotten."""
    models: list[str]
    """Models that this run has made, or that learnt its faces, which stay: `cluster models remove` removes one."""


def forget(asked: Asked) -> Forgotten:
    """Forget a run that is over."""
    run = run_of(asked, to="change")
    status = run.status(failures=False)
    if status.state == "running":
        raise Problem(409, f"the run {run.id} goes on: cancel it first")
    trainings = learnt.trainings(asked.web, run.id)
    for training in trainings:
        if training.state == "running":
            raise Problem(409, f"the run {training.run} learns faces of {run.id}: wait for it, or cancel it first")
    models = learnt.models(asked.web, run.id)
    for training in trainings:
        _drop_upload(asked.web, training)  # crops of its faces
    others, files = _drop_upload(asked.web, status)
    corrections = _drop_corrections(asked.web, status)
    asked.web.accounts.run_links.forget(run.id)
    asked.web.results.forget(run.id)
    asked.web.decisions.forget_run(run.id)
    kept.drop(run.id)
    asked.web.client.prune([status])
    log.info("the run %s is forgotten", run.id, extra={"event": "run-forgotten", "run": run.id, "by": asked.who.name})
    return Forgotten(run=run.id, files=files, corrections=corrections, upload_of=others, models=models)


def sweep(web: Web) -> None:
    """Remove the results and logs of runs that the cluster has forgotten by itself; looks once an hour.

    What people said of the faces of such a run goes a day later: this may be the Redis of another cluster.
    """
    if time.monotonic() - web.swept_at < SWEEP_S:
        return
    web.swept_at = time.monotonic()
    said = web.decisions.runs()
    for run in sorted(said | set(web.results.listed())):
        try:
            is_known = _status(web, run) is not None
        except errors.ClusterError as error:  # whether it is gone, nobody can say now
            log.warning("run %s: %s", run, error, extra={"event": "sweep", "run": run})
            continue
        if is_known:
            if run in said:
                web.decisions.is_known(run)
            continue
        web.results.forget(run)
        kept.drop(run)
        submission.drop_log(web.client.config, run)
        if run in said and web.decisions.gone_for_s(run) > GONE_S:
            web.decisions.forget_run(run)


def _drop_upload(web: Web, status: Status) -> tuple[list[str], int]:
    """Drop what was sent for a run, unless others need it; gives these, and how many files are gone."""
    with contextlib.suppress(Problem):  # it is gone already
        if status.upload:
            upload = web.spool.upload(status.upload)
            others = [run for run in upload.runs() if run != status.run and _status(web, run) is not None]
            if others:
                return others, 0
            files = len(upload)
            web.spool.drop(upload.id)
            return [], files
    return [], 0


def _drop_corrections(web: Web, status: Status) -> int:
    """Remove the corrections of texts of a run, but for those that another run of its owner shows, too."""
    mine = web.results.digests(status.run)
    corrected = mine & web.corrections.texts(status.owner).keys()
    for run in web.results.listed():
        if corrected and run != status.run and (other := _status(web, run)) and other.owner == status.owner:
            corrected -= web.results.digests(run)
    for digest in corrected:
        web.corrections.drop(status.owner, digest)
    return len(corrected)


def _status(web: Web, run: str) -> Status | None:
    try:
        return web.client.run(run).status(failures=False)
    except errors.UnknownRun:
        return None


ROUTES: tuple[Route, ...] = (
    Action(
        "POST", "/api/runs/{run}/forget", forget,
        "Forget a run that is over: what was sent for it, pictures, results, corrections, and itself.", Role.SUBMITTER,
    ),
)  # fmt: skip
