"""Texts about services for people."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from cluster import logs, texts
from cluster.client.serve import News
from cluster.client.services import ServiceStatus

HEADS = ("SERVICE", "JOB", "MODEL", "READY", "NODES", "ANSWERS/S", "95% WITHIN", "SINCE")


def table(found: Sequence[ServiceStatus], width: int | None = None) -> str:
    """A table of services, and why replicas are missing; one column where a terminal has no room for the table."""
    lines = texts.table(HEADS, [row(service) for service in found], width)
    for service in found:
        problems = [(target, one.node, why) for one in service.replicas for target, why in one.problems.items()]
        if service.replicas_ready < service.replicas_wanted:
            problems += [(service.service, node, why) for node, why in service.problems.items()]
        lines += [": ".join(map(logs.plain, problem)) for problem in dict.fromkeys(problems)]
    return "\n".join(lines)


def row(service: ServiceStatus) -> tuple[str, ...]:
    """Name, job, model with the versions that are ready, replicas, nodes, rate, latency, age."""
    nodes: dict[str, int] = {}
    for replica in service.replicas:
        nodes[replica.node] = nodes.get(replica.node, 0) + 1
    where = ", ".join(node if number == 1 else f"{node} ({number})" for node, number in sorted(nodes.items()))
    rate = "" if service.requests_per_s is None else f"{service.requests_per_s:.1f}"
    return (
        service.service,
        service.job,
        logs.plain(models(service)),
        f"{service.replicas_ready} of {service.replicas_wanted}",
        logs.plain(where) or "none yet",
        rate,
        milliseconds(slowest_ms(service)),
        f"{service.created_at.astimezone():%m-%d %H:%M}",
    )


def slowest_ms(service: ServiceStatus) -> float | None:
    """Within how long 95 of 100 of the last answers came, of the slowest version; None where nobody asked lately."""
    return max((one.p95_ms for one in service.traffic if one.p95_ms is not None), default=None)


def milliseconds(found: float | None) -> str:
    """``4.1 ms``, ``1,203 ms``; "" for what is not known."""
    return "" if found is None else f"{found:.1f} ms" if found < 100 else f"{found:,.0f} ms"


def models(service: ServiceStatus) -> str:
    """``office (office:3, office:4), canary 4: 10 %, shadow 5``: what is asked for, and which versions are ready."""
    if service.model is None:
        return ""
    ready = sorted({version for replica in service.replicas for version in replica.ready})
    told = [f"{service.model} ({', '.join(ready)})" if ready else service.model]
    told += [f"canary {version}: {share * 100:g} %" for version, share in sorted(service.canary.items())]
    told += [f"shadow {service.shadow}"] if service.shadow is not None else []
    return ", ".join(told)


def news(told: News) -> str:
    """A sentence about a service that has no ready replica yet."""
    reasons = "".join(f"\n  {logs.plain(node)}: {logs.plain(why)}" for node, why in told.problems.items())
    if told.able:
        return f"{logs.plain(', '.join(told.able))}: {told.requirement} is here; a replica is starting{reasons}"
    if told.pending:
        return f"waiting for {logs.plain(', '.join(told.pending))}: {told.requirement} is being fetched{reasons}"
    return f"no node can serve {told.requirement} yet{reasons}"


def is_of_this_machine(host: str) -> bool:
    """Whether an address to listen on is for programs of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def curl(url: str, service: str, example: Any, cert: Path | None) -> str:
    """A command that asks a service, to paste into a shell where ``TOKEN`` is set.

    Args:
        url: Of the gateway.
        service: Its name.
        example: What to ask: rows as a list, tensors as an object, None for a picture; with {} it asks what the
            model takes.
        cert: The gateway's certificate, which curl may not know; None without HTTPS.
    """
    body = "-H 'Content-Type: image/jpeg' --data-binary @picture.jpg "
    if example is not None:
        body = f"-H 'Content-Type: application/json' -d {shlex.quote(orjson.dumps(example).decode())} "
    path = f"v1/models/{service}/predict"
    if isinstance(example, dict):
        body, path = body if example else "", f"v2/models/{service}{'/infer' if example else ''}"
    more = f" --cacert {shlex.quote(str(cert))}" if cert else ""
    return f'curl{more} -H "Authorization: Bearer $TOKEN" {body}{url}/{path}'
