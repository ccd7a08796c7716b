"""The services that people want. They stand in Redis for good, until somebody removes them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import redis
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cluster import errors, keys, names
from cluster.names import ModelRef

MAX_REPLICAS = 256
log = logging.getLogger(__name__)


def _service_name(text: str) -> str:
    if not names.is_service(text):
        raise ValueError(f"{text!r} can be no service: a name is of a-z, 0-9 and -, at most 64")
    return text


def _model(text: str | None) -> str | None:
    if text is not None:
        try:
            ModelRef.typed(text)
        except errors.UsageError as error:
            raise ValueError(str(error)) from None
    return text


Version = Annotated[int, Field(ge=1, lt=10**9)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Service(BaseModel):
    """What people want of a service."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[str, AfterValidator(_service_name)]
    job: str = Field(pattern=f"^{names.JOB}$")
    options: dict[str, Any] = {}
    """Of the job, without ``model``."""
    model: Annotated[str | None, AfterValidator(_model)] = None
    """NAME, which follows what is pushed and pinned, or NAME:VERSION; None for a job without."""
    replicas: int = Field(1, ge=0, le=MAX_REPLICAS)
    """How many there are to be, on all nodes together. 0: it answers nothing, and is kept."""
    max_waiting: int = Field(512, ge=1, le=100_000)
    """Requests of one version that wait for a replica at most; a gateway refuses more (429)."""
    deadline_ms: int = Field(10_000, ge=10, le=600_000)
    """Time from when a gateway has a request to its answer (504)."""
    canary: dict[Version, Share] = {}
    """Version -> its share of the requests that name no version."""
    shadow: Version | None = None
    """A version that gets a copy of each of these requests, whose answers are compared and not given."""
    created_by: str = ""
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Services:
    """The services of one cluster."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def put(self, service: Service) -> None:
        """Enter a service, or change the one of that name. Nodes see it within a moment."""
        self._change("HSET", keys.SERVICES, service.name, service.model_dump_json())

    def get(self, name: str) -> Service | None:
        """The service of that name; None where there is none that can be read."""
        row: Any = self._redis.hget(keys.SERVICES, name)
        return read(name.encode(), row) if row else None

    def all(self) -> list[Service]:
        """All services, by name; those that cannot be read are left out, with a warning."""
        rows: Any = self._redis.hgetall(keys.SERVICES)
        found = [read(name, row) for name, row in rows.items()]
        return sorted((one for one in found if one is not None), key=lambda one: one.name)

    def remove(self, name: str) -> bool:
        """Forget a service, so that its replicas end; whether there was one."""
        return bool(self._change("HDEL", keys.SERVICES, name))

    def scale(self, name: str, replicas: int) -> Service:
        """Have so many replicas from now on.

        Raises:
            errors.UsageError: There is no such service, or it cannot have this number.
        """
        if not 0 <= replicas <= MAX_REPLICAS:
            raise errors.UsageError(f"a service has 0 to {MAX_REPLICAS} replicas, not {replicas}")

        def scaled(service: Service | None) -> Service:
            if service is None:
                there = ", ".join(one.name for one in self.all()) or "none"
                raise errors.UsageError(f"no service {name!r} (there are: {there})")
            return service.model_copy(update={"replicas": replicas})

        return self.change(name, scaled)

    def change(self, name: str, become: Callable[[Service | None], Service]) -> Service:
        """Put what a service becomes; what others change at the same time is not lost.

        Args:
            name: Of the service.
            become: Called with the service, None where there is none; again if another was quicker.

        Raises:
            As ``become``.
        """
        while True:
            with self._redis.pipeline(transaction=True) as pipe, contextlib.suppress(redis.WatchError):
                pipe.watch(keys.SERVICES)  # type: ignore[no-untyped-call]
                row: Any = pipe.hget(keys.SERVICES, name)
                service = become(read(name.encode(), row) if row else None)
                pipe.multi()
                pipe.hset(keys.SERVICES, name, service.model_dump_json())
                pipe.incr(keys.REVISION)
                pipe.execute()
                return service

    def _change(self, *command: Any) -> Any:
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            pipe.incr(keys.REVISION)
            return pipe.execute()[0]


def read(name: bytes, row: bytes) -> Service | None:
    """A row of the services; None, with a warning, for what is none."""
    try:
        service = Service.model_validate(orjson.loads(row))
        if service.name.encode() != name:
            raise ValueError(f"it says that it is {service.name}")
    except (ValidationError, ValueError) as error:
        log.warning("the service %r cannot be read: %s", name.decode(errors="replace")[:64], str(error)[:300])
        return None
    return service
