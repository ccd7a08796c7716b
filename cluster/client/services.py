"""The services of a cluster: which there are, who answers for them, and who may ask."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from cluster import errors
from cluster.services import desired, replicas, traffic
from cluster.services.tokens import Token, Tokens

if TYPE_CHECKING:
    import redis

__all__ = ["Replica", "ServiceStatus", "Token", "Tokens", "Traffic", "read", "require"]


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


class Traffic(BaseModel):
    """The requests for a version of a service, through all gateways that have had any lately."""

    version: int | None
    """Of the model; None for a service without one."""
    gateways: int
    answers_per_s: float
    """In the last five seconds."""
    waiting: int
    """Requests without an answer, now."""
    answers: int
    """Since these gateways began; so are ``failed``, ``late`` and ``refused``."""
    failed: int
    late: int
    """Without an answer within their deadline."""
    refused: int
    """Refused at once, as too many waited."""
    p50_ms: float | None
    """How long half of the last answers took at most; of several gateways that of the slowest."""
    p95_ms: float | None
    p99_ms: float | None


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
    traffic: list[Traffic]
    """By version, of those that were asked through a gateway."""
    problems: dict[str, str]
    """Node -> why it has no replica that it should have."""
    created_by: str
    created_at: datetime


def read(client: redis.Redis) -> list[ServiceStatus]:
    """All services, by name."""
    services, known = desired.Services(client).all(), replicas.Replicas(client)
    found = known.read(service.name for service in services)
    rows = traffic.read(client) if services else {}
    return [_status(service, found[service.name], known.problems(service.name), rows) for service in services]


def status(client: redis.Redis, name: str) -> ServiceStatus:
    """A service with the replicas that it has now.

    Raises:
        errors.UnknownService: There is none of that name.
    """
    service, known = require(client, name), replicas.Replicas(client)
    return _status(service, known.read([name])[name], known.problems(name), traffic.read(client))


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
    service: desired.Service, found: Sequence[replicas.Replica], problems: Mapping[str, str],
    told: Mapping[str, Sequence[traffic.Row]],
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
        traffic=_traffic([row for rows in told.values() for row in rows if row.service == service.name]),
        problems=dict(problems),
        created_by=service.created_by,
        created_at=service.created_at,
    )


def _rate(found: Sequence[Replica]) -> float | None:
    now = datetime.now(UTC)
    rates = [one.requests / max((now - one.since).total_seconds(), 1.0) for one in found if one.state == "ready"]
    return sum(rates) if rates else None


def _traffic(rows: Sequence[traffic.Row]) -> list[Traffic]:
    """The rows of one service, those of a version summed up."""
    by_version: dict[int | None, list[traffic.Row]] = {}
    for row in rows:
        by_version.setdefault(row.version, []).append(row)
    return [_summed(version, found) for version, found in sorted(by_version.items(), key=lambda one: one[0] or 0)]


def _summed(version: int | None, rows: Sequence[traffic.Row]) -> Traffic:
    def slowest(times: Iterable[float | None]) -> float | None:
        return max((time for time in times if time is not None), default=None)

    return Traffic(
        version=version,
        gateways=len(rows),
        answers_per_s=round(sum(row.per_s for row in rows), 2),
        waiting=sum(row.waiting for row in rows),
        answers=sum(row.answers for row in rows),
        failed=sum(row.failed for row in rows),
        late=sum(row.late for row in rows),
        refused=sum(row.refused for row in rows),
        p50_ms=slowest(row.p50_ms for row in rows),
        p95_ms=slowest(row.p95_ms for row in rows),
        p99_ms=slowest(row.p99_ms for row in rows),
    )
