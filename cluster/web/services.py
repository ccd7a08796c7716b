"""The services of the cluster: who answers, how fast; scale, promote, stop."""

from __future__ import annotations

import logging
import time
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from cluster.client import Client
from cluster.client.services import ServiceStatus, Traffic
from cluster.names import ModelRef
from cluster.roles import Role
from cluster.texts import service_texts
from cluster.web import live_streams, render, serving
from cluster.web.channels import Message
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route, Stream, View
from cluster.web.serving import ServeForm

LOOK_S = 1.0
"""Seconds between two looks at the services, for all who watch them."""
HEARD_S = 5.0
"""Watchers hear something after so long, also where nothing has changed."""
VERSION_HEADS = ("version", "answers/s", "half within", "95 % within", "99 % within", "waiting", "answers", "failed")
REPLICA_HEADS = ("node", "state", "answers for", "since", "answered")
log = logging.getLogger(__name__)


class ServiceRow(BaseModel):
    """A service as it is shown."""

    name: str
    job: str
    model: str
    """What is asked for and which versions are ready, with canary and shadow; "" without a model."""
    state: str
    """"ready"; "starting": fewer replicas are ready than wanted; "waiting": none is; "paused": none is wanted."""
    wanted: int
    facts: dict[str, str]
    """What it tells in figures."""
    versions: list[list[str]]
    """A text for each of ``VERSION_HEADS``, by version."""
    replicas: list[list[str]]
    """A text for each of ``REPLICA_HEADS``."""
    problems: list[str]
    promotable: list[str]
    """Versions that are served or pushed beside the one that requests get: as "office:4"."""


class Services(BaseModel):
    """All services."""

    services: list[ServiceStatus]
    rows: list[ServiceRow]
    form: ServeForm
    version_heads: list[str] = list(VERSION_HEADS)
    replica_heads: list[str] = list(REPLICA_HEADS)


class ServicesQuery(BaseModel):
    """What the form begins with."""

    model: str = Field("", max_length=100)
    service: str = Field("", max_length=100)
    """The one that is to be changed."""


class Scaling(BaseModel):
    """How many replicas are wanted."""

    replicas: int


class Promotion(BaseModel):
    """The version that requests and runs are to get."""

    ref: str


class Watched:
    """Reads the services for all who watch them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told: list[dict[str, Any]] | None = None
        self._looked_s = self._told_s = 0.0

    def first(self, after: str) -> Message:
        """All services."""
        return Message({"services": self._rows()})

    def look(self) -> Message | None:
        """All services, where something has changed."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return None
        self._looked_s = now_s
        rows = self._rows()
        if rows == self._told and now_s - self._told_s < HEARD_S:
            return None
        self._told, self._told_s = rows, now_s
        return Message({"services": rows})

    def _rows(self) -> list[dict[str, Any]]:
        return [row(self._client, one).model_dump() for one in self._client.services()]


def show(asked: Asked) -> Services:
    """All services."""
    client = asked.web.client
    found = client.services()
    return Services(
        services=found,
        rows=[row(client, one) for one in found],
        form=serving.form(client, found, asked.query.model, asked.query.service),
    )


def row(client: Client, found: ServiceStatus) -> ServiceRow:
    """A service as it is shown."""
    per_s = sum(one.answers_per_s for one in found.traffic)
    return ServiceRow(
        name=found.service,
        job=found.job,
        model=service_texts.models(found),
        state=_state(found),
        wanted=found.replicas_wanted,
        facts={
            "replicas ready": f"{found.replicas_ready} of {found.replicas_wanted}",
            "answers/s now": f"{per_s:.1f}" if found.traffic else "none",
            "95 % within": service_texts.milliseconds(service_texts.slowest_ms(found)) or "not known",
            "waiting": f"{sum(one.waiting for one in found.traffic)} of {found.max_waiting:,}",
            "late": f"{sum(one.late for one in found.traffic):,}",
            "refused": f"{sum(one.refused for one in found.traffic):,}",
        },
        versions=[_version(one) for one in found.traffic],
        replicas=[
            [one.node, one.state, ", ".join(one.ready), render.moment(one.since), f"{one.requests:,}"]
            for one in found.replicas
        ],
        problems=_problems(found),
        promotable=_promotable(client, found),
    )


def _state(found: ServiceStatus) -> str:
    if not found.replicas_wanted:
        return "paused"
    if not found.replicas_ready:
        return "waiting"
    return "ready" if found.replicas_ready >= found.replicas_wanted else "starting"


def _version(found: Traffic) -> list[str]:
    return [
        "" if found.version is None else str(found.version),
        f"{found.answers_per_s:.1f}",
        *map(service_texts.milliseconds, (found.p50_ms, found.p95_ms, found.p99_ms)),
        str(found.waiting),
        f"{found.answers:,}",
        f"{found.failed:,}",
    ]


def _problems(found: ServiceStatus) -> list[str]:
    told = [f"{one.node}: {target}: {why}" for one in found.replicas for target, why in one.problems.items()]
    if found.replicas_ready < found.replicas_wanted:
        told += [f"{node}: {why}" for node, why in found.problems.items()]
    return list(dict.fromkeys(told))


def _promotable(client: Client, found: ServiceStatus) -> list[str]:
    """The canaries, the shadow and the version pushed last, but the one that requests get already."""
    if found.model is None or ModelRef.parse(found.model).version is not None:
        return []
    name = ModelRef.parse(found.model).name
    state = client.models.state(name)
    versions = {*found.canary, *((found.shadow,) if found.shadow else ()), state.latest} - {0, state.current}
    return [str(ModelRef(name, version)) for version in sorted(versions)]


async def live(asked: Asked) -> StreamingResponse:
    """The services, as they answer."""
    client = asked.web.client
    return live_streams.events(asked, "services", lambda: Watched(client))


def scale(asked: Asked) -> None:
    """Have the nodes run so many replicas."""
    asked.web.client.service(asked.at["service"]).scale(asked.body.replicas)
    log.info("%s scaled %s to %d", asked.who.name, asked.at["service"], asked.body.replicas)


def promote(asked: Asked) -> None:
    """Pin the model of a service to a version, and end its canary of that version."""
    client, wanted = asked.web.client, ModelRef.typed(asked.body.ref)
    found = client.service(asked.at["service"]).status()
    if found.model is None or wanted.version is None or ModelRef.parse(found.model).name != wanted.name:
        raise Problem(422, f"{wanted} is no version of the model that {found.service} serves")
    if ModelRef.parse(found.model).version is not None:
        raise Problem(409, f"{found.service} serves {found.model} whatever is pinned: serve {wanted.name} instead")
    client.models.pin(str(wanted))
    if wanted.version in found.canary:
        rest = {version: share for version, share in found.canary.items() if version != wanted.version}
        client.entry(
            found.model, job=found.job, name=found.service, deadline_s=None, canary=rest, options={}
        ).enter()  # fmt: skip
    log.info("%s promoted %s of %s", asked.who.name, wanted, found.service)


def stop(asked: Asked) -> None:
    """End a service: its replicas answer what they have taken, and go. Its model stays."""
    asked.web.client.service(asked.at["service"]).stop()
    log.info("%s stopped the service %s", asked.who.name, asked.at["service"])


ROUTES: tuple[Route, ...] = (
    View("/services", show, "services.html", "The services, who answers for them and how fast.", query=ServicesQuery),
    Stream("/api/services/live", live, "The services, as they answer.", "text/event-stream"),
    Action(
        "POST", "/api/services/{service}/scale", scale, "Have so many replicas.", Role.OPERATOR, body=Scaling
    ),
    Action(
        "POST", "/api/services/{service}/promote", promote, "Have requests and runs get a version: pin it.",
        Role.OPERATOR, body=Promotion,
    ),
    Action("DELETE", "/api/services/{service}", stop, "End a service; its model stays.", Role.OPERATOR),
)  # fmt: skip
