"""The replicas of services: each holds a lease, so that there are as many as are wanted, on whatever nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import redis
from pydantic import BaseModel, Field, ValidationError

from cluster import keys, names, redis_client
from cluster.scripts import Scripts

LEASE_MS = 4000
"""A replica whose lease was not kept for this long counts no more, by Redis's clock."""
KEEP_S = 60
PROBLEM_S = 60
"""Seconds that a node's problem is told after the node told it last."""
MAX_PROBLEM_CHARS = 500
State = Literal["held", "full", "over", "gone"]


class Row(BaseModel):
    """The row in which a replica tells of itself."""

    node: str
    host: str = ""
    pid: int = Field(0, ge=0)
    """0 while its process does not run yet; the node keeps its lease until then."""
    ready: list[str] = []
    """Targets that it takes requests for: see ``names.Target``. Loaded and tried."""
    problems: dict[str, str] = {}
    """Target -> why it cannot take requests for it."""
    batches: int = Field(0, ge=0)
    requests: int = Field(0, ge=0)
    draining: bool = False
    """It takes no more requests, and ends once it has answered those that it took."""


class Replica(Row):
    """A replica as others see it."""

    id: str
    service: str
    since: datetime

    @property
    def state(self) -> str:
        """For people: "starting", "ready" or "draining"."""
        return "draining" if self.draining else "ready" if self.ready else "starting"


class Kept(NamedTuple):
    """The answer to one who takes or keeps a lease."""

    state: State
    """"held"; "full": the service has as many as it is to have; "over": this one is to end; "gone": the service is."""
    now_ms: int
    """Redis's clock, since 1970."""


class Replicas:
    """The replicas of the services of one cluster."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._scripts = Scripts(client, "cluster.services")

    def take(self, service: str, replica: str, row: Row) -> Kept:
        """Take a lease for a replica that is to be started, unless the service has as many as are wanted."""
        return self._lease(service, replica, row, anew=True)

    def keep(self, service: str, replica: str, row: Row) -> Kept:
        """Keep a lease for another ``LEASE_MS``, and tell of the replica. One that was lost is taken again."""
        return self._lease(service, replica, row, anew=False)

    def release(self, service: str, *replicas: str) -> None:
        """Give leases up: these replicas are no more."""
        if replicas:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.zrem(keys.leases(service), *replicas)
                pipe.hdel(keys.replicas(service), *replicas)
                pipe.execute()

    def read(self, services: Iterable[str]) -> dict[str, list[Replica]]:
        """Service -> its replicas, the oldest first; in one round trip."""
        asked = list(services)
        with self._redis.pipeline(transaction=False) as pipe:
            ask(pipe, asked)
            return told(asked, pipe.execute())

    def drop_vanished(self, found: Mapping[str, Collection[Replica]]) -> list[Replica]:
        """Give up the leases of replicas that have no connection to Redis any more: their machine or process died.

        One that lost its connection for a moment takes its lease again.
        """
        running = [replica for replicas in found.values() for replica in replicas if replica.pid]
        if not running:
            return []
        try:
            clients = redis_client.connected(self._redis)
        except redis.ResponseError:  # we may not ask: the leases run out
            return []
        there = {names.replica_of(client) for client in clients}
        gone = [replica for replica in running if replica.id not in there]
        for replica in gone:
            self.release(replica.service, replica.id)
        return gone

    def tell_problem(self, service: str, node: str, why: str) -> None:
        """Say why a node has no replica of a service that it should have; "" takes that back."""
        key = keys.problems(service)
        with self._redis.pipeline(transaction=True) as pipe:
            if why:
                pipe.hset(key, node, why[:MAX_PROBLEM_CHARS])
                pipe.expire(key, PROBLEM_S)
            else:
                pipe.hdel(key, node)
            pipe.execute()

    def problems(self, service: str) -> dict[str, str]:
        """Node -> why it has no replica of a service that it should have."""
        found: Any = self._redis.hgetall(keys.problems(service))
        return {node.decode(errors="replace"): why.decode(errors="replace") for node, why in sorted(found.items())}

    def _lease(self, service: str, replica: str, row: Row, *, anew: bool) -> Kept:
        touched = {
            "services": keys.SERVICES, "leases": keys.leases(service), "replicas": keys.replicas(service),
        }  # fmt: skip
        state, now_ms = self._scripts(
            "lease", touched, service=service, replica=replica, row=row.model_dump_json(), lease_ms=LEASE_MS,
            keep_s=KEEP_S, anew=int(anew),
        )  # fmt: skip
        return Kept(state.decode(), int(now_ms))


def ask(pipe: redis.client.Pipeline, services: Iterable[str]) -> None:
    """Append to a pipeline what ``told`` reads."""
    pipe.time()
    for service in services:
        pipe.zrange(keys.leases(service), 0, -1, withscores=True)
        pipe.hgetall(keys.replicas(service))


def told(services: Iterable[str], replies: Sequence[Any]) -> dict[str, list[Replica]]:
    """Service -> its replicas, the oldest first, of the replies to ``ask``."""
    (seconds, micros), *found = replies
    now_ms = seconds * 1000 + micros // 1000
    pairs = zip(services, found[::2], found[1::2], strict=True)
    return {service: _replicas(service, leases, rows, now_ms) for service, leases, rows in pairs}


def _replicas(service: str, leases: Any, rows: Any, now_ms: int) -> list[Replica]:
    found = []
    for raw, until_ms in sorted(leases):
        if until_ms <= now_ms or raw not in rows:
            continue
        try:
            id_ = names.Replica.parse(raw.decode())
            row = Row.model_validate_json(rows[raw])
            since = datetime.fromtimestamp(id_.since_ms / 1000, UTC)
        except (ValidationError, ValueError, OverflowError):  # anybody may have written there
            continue
        found.append(Replica(**row.model_dump(), id=str(id_), service=service, since=since))
    return found
