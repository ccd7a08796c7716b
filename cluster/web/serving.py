"""Serve a model or a job from the page: the form, what would come of it, and what enters the service."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cluster import catalog, errors
from cluster.client import Client
from cluster.client.serve import Entry
from cluster.client.services import ServiceStatus
from cluster.roles import Role
from cluster.web import foreseeing, forms
from cluster.web.foreseeing import Foreseen
from cluster.web.forms import JobForm
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route

log = logging.getLogger(__name__)


class Serving(BaseModel):
    """A service to enter, or to change: what is left out stays, or is as by default."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    """NAME, which follows the version that runs get, or NAME:VERSION."""
    job: str | None = None
    name: str | None = None
    replicas: int | None = None
    max_waiting: int | None = None
    deadline_s: float | None = None
    canary: str | None = None
    """Shares of the requests, as "office:4=10%", with commas between; "none" ends it."""
    shadow: str | None = None
    """As "office:5"; "none" ends it."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The job's."""


class Served(BaseModel):
    """A service that was entered."""

    service: str


class ServeForm(BaseModel):
    """The form that serves."""

    models: dict[str, str]
    """Model that can be served -> its job."""
    jobs: list[JobForm]
    """The jobs that answer single items."""
    begins: Serving
    """What stands in it at first: the service that is to be changed, or a model."""


def form(client: Client, found: Sequence[ServiceStatus], model: str, service: str) -> ServeForm:
    """The form, for a model or to change a service; both may be ""."""
    nodes = [node for node in client.nodes() if node.state == "online"]
    served = {job.name: forms.service_form(job, nodes) for job in catalog.jobs().values() if job.serves}
    begins = Serving(model=model)
    for one in found:
        if one.service == service:
            begins = Serving(
                model=one.model, job=one.job, name=one.service, replicas=one.replicas_wanted,
                max_waiting=one.max_waiting, deadline_s=one.deadline_ms / 1000,
            )  # fmt: skip
            for field in served[one.job].fields if one.job in served else ():
                field.default = one.options.get(field.name, field.default)
    return ServeForm(
        models={one.name: one.job for one in client.models.versions() if one.job in served},
        jobs=list(served.values()), begins=begins,
    )  # fmt: skip


def serve(asked: Asked) -> Served:
    """Enter a service, or change the one of that name."""
    service = _entry(asked).enter(by=asked.who.name)
    log.info("%s serves %s", asked.who.name, service.name)
    return Served(service=service.name)


def foresee(asked: Asked) -> Foreseen:
    """Say who could answer for a service, and check all that can be known of it; nothing is entered."""
    entry = _entry(asked)
    words = _command(entry, asked.body)
    return foreseeing.foreseen(asked.web.client, entry.requirement, "the service answers", words)


def _entry(asked: Asked) -> Entry:
    """Check what was sent.

    Raises:
        Problem: A field is wrong.
        errors.ClusterError: As ``Client.serve``.
    """
    given: Serving = asked.body
    client = asked.web.client
    job = given.job
    if given.model:
        try:
            job = job or client.models.get(given.model).job
        except (errors.UnknownBundle, errors.UsageError) as error:
            raise Problem(404 if isinstance(error, errors.UnknownBundle) else 422, str(error), field="model") from None
    if job:
        forms.check(job, given.options)
    return client.entry(
        given.model or None, job=given.job or None, name=given.name or None, replicas=given.replicas,
        max_waiting=given.max_waiting, deadline_s=given.deadline_s, canary=_canary(given), shadow=given.shadow or None,
        options=given.options,
    )  # fmt: skip


def _canary(given: Serving) -> list[str] | None:
    return [text.strip() for text in given.canary.split(",")] if given.canary else None


def _command(entry: Entry, given: Serving) -> list[str]:
    """The words of `cluster serve` that does the same."""
    words = ["serve", *([given.model] if given.model else [])]
    flags = {
        "--job": given.job, "--name": given.name, "--replicas": given.replicas, "--max-waiting": given.max_waiting,
        "--deadline": given.deadline_s,
    }  # fmt: skip
    for flag, value in flags.items():
        words += [flag, f"{value:g}" if isinstance(value, float) else str(value)] if value not in (None, "") else []
    for share in _canary(given) or ():
        words += ["--canary", share]
    words += ["--shadow", given.shadow] if given.shadow else []
    return [*words, *foreseeing.flags(entry.job, given.options)]


ROUTES: tuple[Route, ...] = (
    Action("POST", "/api/services", serve, "Serve a model or a job, or change a service.", Role.OPERATOR, body=Serving),
    Action(
        "POST", "/api/services/foresee", foresee, "Say who could answer for a service.", Role.OPERATOR, body=Serving
    ),
)
