"""The page of a new run, and how runs begin: of an upload, or of a few files in a form without JavaScript."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse, Response

from cluster import catalog, names
from cluster.client.run import Belongs, Run
from cluster.roles import Role
from cluster.web import foreseeing, forms, publishing, uploads
from cluster.web.foreseeing import Foreseen
from cluster.web.forms import JobForm
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route, View
from cluster.web.spool_upload import Upload
from cluster.web.uploads import UploadArrived

FIRST_JOB = "ocr"
MAX_FORM_BYTES = 64 * 2**20
MAX_FORM_FILES = 100
MAX_FORM_FIELDS = 200
Share = Literal["private", "cluster"]


class Wanted(BaseModel):
    """What the page of a new run shows."""

    job: str = ""
    upload: str = ""
    """The upload to go on with."""


class NewRun(BaseModel):
    """What one needs to know to submit a run."""

    jobs: list[JobForm]
    job: str
    """That stands in the form at first."""
    upload: UploadArrived | None
    """The upload that is gone on with."""
    open_uploads: list[UploadArrived]
    """One's own other uploads of which more may come."""
    unreadable: list[str]
    """One's own uploads that cannot be understood, and only be dropped."""


class SubmitRun(BaseModel):
    """A run that is to begin."""

    job: str
    upload: str
    """What it reads; more of it may come while it does."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The job's, and ``chunk_size``; what is left out is as by default."""
    share: Share = "private"
    """Who sees it besides its owner: nobody, or everybody who may see the cluster."""


class WantedRun(BaseModel):
    """A run that could be submitted."""

    job: str
    options: dict[str, Any] = Field(default_factory=dict)


class RunBegun(BaseModel):
    """A run that has begun."""

    run: str


def show(asked: Asked) -> NewRun:
    """The page of a new run."""
    query: Wanted = asked.query
    spool = asked.web.spool
    upload = None
    if query.upload:
        upload = uploads.arrived(uploads.own_upload(asked, query.upload))
    listed = spool.listed(asked.who.name)
    mine = [spool.upload(about.id) for about in listed if not about.is_closed]
    others = [uploads.arrived(one) for one in mine if one.id != query.upload]
    jobs = forms.forms(asked.web.client)
    known = [form.job for form in jobs]
    job = query.job or (upload.job if upload else "")
    return NewRun(
        jobs=jobs, job=job if job in known else FIRST_JOB if FIRST_JOB in known else known[0], upload=upload,
        open_uploads=others, unreadable=[about.id for about in listed if not about.is_readable],
    )  # fmt: skip


def submit(asked: Asked) -> RunBegun:
    """Begin a run of an upload."""
    body: SubmitRun = asked.body
    upload = uploads.own_upload(asked, body.upload)
    return RunBegun(run=begin(asked, upload, body.job, body.options, share=body.share).id)


def foresee(asked: Asked) -> Foreseen:
    """Say who could do a run."""
    body: WantedRun = asked.body
    forms.check(body.job, body.options)
    return foreseeing.foresee(asked.web.client, body.job, body.options)


async def submit_form(asked: Asked) -> Response:
    """Begin a run of the files that are in the form."""
    length = asked.request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > MAX_FORM_BYTES:
        raise Problem(
            413, f"a form takes {MAX_FORM_BYTES // 2**20} MB of files; with JavaScript there is no such limit"
        )
    async with asked.request.form(max_files=MAX_FORM_FILES, max_fields=MAX_FORM_FIELDS) as form:
        sent = [
            (file.filename or "", await file.read()) for file in form.getlist("files") if isinstance(file, UploadFile)
        ]
        run = await run_in_threadpool(_submit_form, asked, form, [(name, data) for name, data in sent if name])
    return RedirectResponse(f"/runs/{run.id}", 303)


def _submit_form(asked: Asked, form: FormData, files: list[tuple[str, bytes]]) -> Run:
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not files:
        raise Problem(422, "no file was chosen")
    options = forms.read(fields.get("job", ""), fields)
    catalog.get(fields["job"]).check_options(options)
    upload = asked.web.spool.begin(asked.who.name, len(files), sum(len(data) for _, data in files), fields["job"])
    try:
        for name, data in files:
            upload.put(name, data)
        upload.close()
        return begin(asked, upload, fields["job"], options, share="cluster" if fields.get("share") else "private")
    except ValueError as error:
        raise Problem(422, f"{name[:200]!r}: {error}") from None
    finally:
        if not upload.runs():
            asked.web.spool.drop(upload.id)


def begin(
    asked: Asked, upload: Upload, job: str, options: dict[str, Any], *, share: Share = "private", follows: str = ""
) -> Run:  # fmt: skip
    """Begin a run that a process of its own reads an upload for.

    Raises:
        Problem: It cannot be begun.
        errors.ClusterError: As ``Client.prepare``.
    """
    forms.check(job, options)
    publishing.require_may_train(asked, job, options)
    belongs = Belongs(asked.who.name, share, follows, upload.id, publishing.publishes(asked.who))
    with asked.web.client.prepare(job, options, belongs=belongs) as submission:
        run, _ = submission.detach([names.upload(str(upload.folder.absolute()))], on_open=upload.add_run)
    return run


ROUTES: tuple[Route, ...] = (
    View("/submit", show, "submit.html", "What one needs to know to submit a run.", Role.SUBMITTER, query=Wanted),
    Action("POST", "/api/runs", submit, "Begin a run of an upload.", Role.SUBMITTER, body=SubmitRun),
    Action("POST", "/api/foresee", foresee, "Say who could do a run.", Role.SUBMITTER, body=WantedRun),
    Action(
        "POST", "/api/submit", submit_form, "Begin a run of a few files, by a form without JavaScript.",
        Role.SUBMITTER, takes_form=True,
    ),
)  # fmt: skip
