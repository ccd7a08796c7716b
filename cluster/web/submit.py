"""Begin runs: of an upload, or of a few files in a form."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from cluster import catalog, names
from cluster.client.run import Run
from cluster.roles import Role
from cluster.web import uploads
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route
from cluster.web.spool import Upload


class Submit(BaseModel):
    """A run that is to begin."""

    job: str
    upload: str
    """What it reads; more of it may come while it does."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The job's."""
    share: str = "private"
    """Who sees it besides its owner: "private", or "cluster" for everybody who may see the cluster."""


class Begun(BaseModel):
    """A run that has begun."""

    run: str


def submit(asked: Asked) -> Begun:
    """Begin a run of an upload."""
    body: Submit = asked.body
    upload = asked.web.spool.upload(body.upload)
    uploads.require_own(asked, upload)
    return Begun(run=begin(asked, upload, body.job, body.options).id)


def begin(asked: Asked, upload: Upload, job: str, options: dict[str, Any]) -> Run:
    """Begin a run that a process of its own reads an upload for.

    Raises:
        Problem: It cannot be begun.
        errors.ClusterError: As ``Client.prepare``.
    """
    require_no_files(job, options)
    with asked.web.client.prepare(job, options) as submission:
        run, _ = submission.detach([names.upload(str(upload.folder))])
    upload.add_run(run.id)
    return run


def require_no_files(job: str, options: dict[str, Any]) -> None:
    """See that no option has this machine read a file of its own for somebody who only knows the page.

    Raises:
        Problem: One has.
    """
    for option in catalog.get(job).options:
        value = options.get(option.name)
        if isinstance(value, str) and option.may_read(value):
            raise Problem(
                422, f"{option.flag} {value[:100]!r} names a file of the machine that this page runs on: use the"
                " command line there",
            )  # fmt: skip


ROUTES: tuple[Route, ...] = (
    Action("POST", "/api/runs", submit, "Begin a run of an upload.", Role.SUBMITTER, body=Submit),
)
