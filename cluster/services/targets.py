"""Which versions of a service's model are served: what its replicas load, and where gateways send requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import errors, keys
from cluster.names import ModelRef, Target
from cluster.services.desired import Service, Services

if TYPE_CHECKING:
    import redis

    from cluster.stores import Stores

ASKED_S = 60
"""Seconds that a version is served after a request named it last."""
MOST_ASKED = 4
"""Versions that are served at a time because requests named them."""


def ask(client: redis.Redis, service: str, version: int) -> None:
    """A request names a version: have it served for ``ASKED_S``. A gateway calls it once in 10 s for a version."""
    now: Any = client.time()
    if client.zadd(keys.asked(service), {str(version): now[0]}):
        client.incr(keys.REVISION)
    client.expire(keys.asked(service), ASKED_S)


def versions(service: Service, stores: Stores) -> list[ModelRef | None]:
    """The versions to serve, each with its digest: the current one first, then canaries, shadow, and those asked for.

    [None] for a service without a model; [] where the model has no version (yet). Versions that are gone are left out.
    """
    if service.model is None:
        return [None]
    wanted = ModelRef.parse(service.model)
    current = wanted.version or stores.models.bundles.state(wanted.name).current
    numbers = dict.fromkeys([current, *service.canary, service.shadow, *_asked(stores.redis, service.name)])
    found: list[ModelRef | None] = []
    for number in numbers:
        if not number:
            continue
        try:
            manifest = stores.models.manifest(str(ModelRef(wanted.name, number)))
        except errors.ClusterError:  # gone, or not there yet
            continue
        found.append(ModelRef.parse(manifest.reference))
    return found


def candidate(service: Service, stores: Stores) -> ModelRef | None:
    """The version that was pushed last, which people may pin next: nodes fetch and try it before."""
    if service.model is None or ModelRef.parse(service.model).version is not None:
        return None
    name = ModelRef.parse(service.model).name
    number = stores.models.bundles.state(name).latest
    try:
        return ModelRef.parse(stores.models.manifest(str(ModelRef(name, number))).reference) if number else None
    except errors.ClusterError:
        return None


def target(service: str, ref: ModelRef | None) -> Target:
    """What the requests for this version of a service's model are for."""
    return Target(service, ref.version if ref else None)


def capability_options(service: Service, ref: ModelRef | None) -> dict[str, Any]:
    """The options of the service's job with this version of its model."""
    return {**service.options, **({"model": str(ref)} if ref else {})}


def holders(ref: ModelRef, stores: Stores) -> list[str]:
    """The services that serve a version of a model now; a digest does not count."""
    wanted = ref.without_digest
    services = [one for one in Services(stores.redis).all() if one.model and ModelRef.parse(one.model).name == ref.name]
    return [
        one.name for one in services
        if any(found and found.without_digest == wanted for found in versions(one, stores))
    ]  # fmt: skip


def _asked(client: redis.Redis, service: str) -> list[int]:
    now: Any = client.time()
    rows: Any = client.zrangebyscore(keys.asked(service), now[0] - ASKED_S, "+inf")
    return [int(row) for row in rows[-MOST_ASKED:] if row.isdigit() and len(row) < 10]
