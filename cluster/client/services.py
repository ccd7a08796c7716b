"""The services of a cluster: which there are, who answers for them, and who may ask."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from cluster import errors
from cluster.services import desired, replicas
from cluster.services.tokens import Token, Tokens

if TYPE_CHECKING:
    import redis

__all__ = ["Replica", "ServiceStatus", "Token", "Tokens", "read", "require"]


class Replica(BaseModel):
    """A process of a node that answers the requests to a service."""

    node: str
    state: str
    """"starting", "ready" or "draining"."""
    ready: list[str]
    """What it takes requests for: ``office:3``, or the service's name where that has no model."""
    problems: dict[str, str]
    """What it cannot take requests for -> why."""
    since: datetime
    batches: int
    requests: int
    """How many it has answered since then."""


class ServiceStatus(BaseModel):
    """A service and its replicas; what ``cluster services --json`` prints."""

    service: str
    job: str
    model: str | None
    """As it was asked for: NAME, which follows the version that runs get, or NAME:VERSION."""
    options: dict[str, Any]
    replicas_wanted: int
    replicas_ready: int
    replicas: list[Replica]
    canary: dict[int, float]
    """Version -> the share of requests that it gets."""
    shadow: int | None
    max_waiting: int
    deadline_ms: int
    requests_per_s: float | None
    """Answers of its replicas a second, in the mean since each was started; None without a ready one."""
    problems: dict[str, str]
    """Node -> why it has no replica that it should have."""
    created_by: str
    created_at: datetime


def read(client: redis.Redis) -> list[ServiceStatus]:
    """All services, by name."""
    services, known = desired.Services(client).all(), replicas.Replicas(client)
    found = known.read(service.name for service in services)
    return [_status(service, found[service.name], known.problems(service.name)) for service in services]


def status(client: redis.Redis, name: str) -> ServiceStatus:
    """A service with the replicas that it has now.

    Raises:
        errors.UnknownService: There is none of that name.
    """
    service, known = require(client, name), replicas.Replicas(client)
    return _status(service, known.read([name])[name], known.problems(name))


def require(client: redis.Redis, name: str) -> desired.Service:
    """The service of that name.

    Raises:
        errors.UnknownService: There is none; the message lists those there are.
    """
    services = desired.Services(client)
    found = services.get(name)
    if found is None:
        known = [one.name for one in services.all()]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise errors.UnknownService(f"no service {name!r} (there are: {', '.join(known) or 'none'}){hint}")
    return found


def _status(
    service: desired.Service, found: Sequence[replicas.Replica], problems: Mapping[str, str]
) -> ServiceStatus:  # fmt: skip
    shown = [Replica(**{field: getattr(one, field) for field in Replica.model_fields}) for one in found]
    return ServiceStatus(
        service=service.name,
        job=service.job,
        model=service.model,
        options=dict(service.options),
        replicas_wanted=service.replicas,
        replicas_ready=sum(one.state == "ready" for one in shown),
        replicas=shown,
        canary=service.canary,
        shadow=service.shadow,
        max_waiting=service.max_waiting,
        deadline_ms=service.deadline_ms,
        requests_per_s=_rate(shown),
        problems=dict(problems),
        created_by=service.created_by,
        created_at=service.created_at,
    )


def _rate(found: Sequence[Replica]) -> float | None:
    now = datetime.now(UTC)
    rates = [one.requests / max((now - one.since).total_seconds(), 1.0) for one in found if one.state == "ready"]
    return sum(rates) if rates else None
