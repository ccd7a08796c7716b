"""Do again what is missing from a run, maybe with other options: a new run of just these files and pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pydantic import BaseModel, Field

from cluster import catalog, errors
from cluster.client import missing_items
from cluster.client.missing_items import Missing
from cluster.client.run import Run
from cluster.roles import Role
from cluster.web import submit
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route
from cluster.web.runs import run_of
from cluster.web.spool import Spool
from cluster.web.spool_upload import Upload
from cluster.web.submit import RunBegun
from splitters import page_names
from splitters.spool import Entry


class Again(BaseModel):
    """What is to be done again, and how."""

    options: dict[str, Any] = Field(default_factory=dict)
    """Those that are to be other ones than the run's."""
    items: list[str] | None = None
    """Only these of the missing items; null: all that no other run has done again since."""


def again(asked: Asked) -> RunBegun:
    """Begin a run of what is missing from a run that is done; its values lie over that one's in views and downloads."""
    body: Again = asked.body
    run = run_of(asked, to="change")
    upload = upload_of(asked.web.spool, run)
    missing = missing_items.of_run(asked.web.client, run.id)
    items = chosen(asked.web.followers.done_again(run), missing, body.items)
    options = missing.with_options(catalog.get(missing.job), body.options)
    share = run.belongs.share
    fresh = asked.web.spool.begin(asked.who.name, job=missing.job)
    try:
        fresh.take_from(upload, entries(upload, items))
        fresh.close()
        begun = submit.begin(asked, fresh, missing.job, options, share=share, follows=run.id)
        return RunBegun(run=begun.id)
    finally:
        if not fresh.runs():
            asked.web.spool.drop(fresh.id)


def chosen(done: Collection[str], missing: Missing, named: Collection[str] | None) -> list[str]:
    """The items that are to be done again: those that are named, else all that are not among ``done``.

    Raises:
        Problem: There are none (409).
    """
    wanted = set(missing.items) - set(done) if named is None else set(named)
    if items := [item for item in missing.items if item in wanted]:
        return items
    if named is None and missing.items:
        raise Problem(409, f"all that was missing from {missing.run} is done again: name items to do them once more")
    raise Problem(409, f"nothing is missing from {missing.run}, or none of what was named")


def upload_of(spool: Spool, run: Run) -> Upload:
    """The upload that a run has read.

    Raises:
        Problem: It was sent from a command line, or is not here any more (409).
    """
    name = run.belongs.upload
    try:
        if name:
            return spool.upload(name)
    except Problem:
        pass
    raise Problem(
        409, f"the files of {run.id} are not on the machine of this page. Where they are:"
        f" `cluster submit --retry-failed {run.id} FILES`",
    )  # fmt: skip


def entries(upload: Upload, items: Iterable[str]) -> list[Entry]:
    """The files that hold items, with the pages that are wanted of each; what is in an archive wants all of it.

    Raises:
        errors.UsageError: An item is of none of its files.
    """
    pages: dict[Entry, set[int] | None] = {}
    for item in items:
        entry = upload.entry(item)
        if entry is None:
            raise errors.UsageError(f"{item[:200]!r} is of no file of the upload {upload.id}")
        document, number = page_names.parse(item)
        is_page = number is not None and entry.name != item and page_names.document(entry.name) == document
        if not is_page or number is None:
            pages[entry] = None
        elif (known := pages.setdefault(entry, set())) is not None:
            known.add(number)
    return [entry if wanted is None else entry._replace(pages=tuple(sorted(wanted))) for entry, wanted in pages.items()]


ROUTES: tuple[Route, ...] = (
    Action(
        "POST", "/api/runs/{run}/again", again, "Do again what is missing from a run, maybe with other options.",
        Role.SUBMITTER, body=Again,
    ),
)  # fmt: skip
