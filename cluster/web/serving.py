"""Serve a model or a job from the page."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import BaseModel, ConfigDict

from cluster.roles import Role
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
    options: dict[str, Any] = {}
    """The job's."""


class Served(BaseModel):
    """A service that was entered."""

    service: str


def serve(asked: Asked) -> Served:
    """Enter a service, or change the one of that name."""
    given: Serving = asked.body
    canary = [text.strip() for text in given.canary.split(",")] if given.canary else None
    entry = asked.web.client.entry(
        given.model or None, job=given.job or None, name=given.name or None, replicas=given.replicas,
        max_waiting=given.max_waiting, deadline_s=given.deadline_s, canary=canary, shadow=given.shadow or None,
        options=given.options,
    )  # fmt: skip
    service = entry.enter(by=asked.who.name)
    log.info("%s serves %s", asked.who.name, service.name)
    return Served(service=service.name)


ROUTES: tuple[Route, ...] = (
    Action("POST", "/api/services", serve, "Serve a model or a job, or change a service.", Role.OPERATOR, body=Serving),
)
