"""What a client does about services: enter and list them, ask them, and run a gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.client.asking import Asker
    from cluster.client.serve import Canary, Entry, Service
    from cluster.client.services import ServiceStatus, Tokens
    from cluster.client.session import Session
    from cluster.gateway.server import Running
    from cluster.stores import Stores


class Serving:
    """The part of ``Client`` that is about services."""

    _asker: Asker | None = None
    _gateway: Running | None = None

    if TYPE_CHECKING:
        _lock: threading.RLock
        _open: ExitStack

        @property
        def session(self) -> Session: ...

        @property
        def stores(self) -> Stores: ...

    @property
    def _whole(self) -> Client:
        return cast("Client", self)

    def serve(
        self, model: str | None = None, /, *, job: str | None = None, name: str | None = None,
        replicas: int | None = None, max_waiting: int | None = None, deadline_s: float | None = None,
        canary: Canary | None = None, shadow: str | int | None = None, **options: Any,
    ) -> Service:  # fmt: skip
        """Have replicas on the nodes answer single items of a job at once, until the service is stopped.

        A service stays when this client ends, unless the cluster is a private one. Where one of that name serves the
        same already, it is changed; what is not given stays.

        Args:
            model: NAME, which follows the version that runs get, or NAME:VERSION; None where the job needs none.
            job: The name of a job that serves; None: the one that the model is for.
            name: The service's; None: the model's name, else the job's.
            replicas: How many processes answer; 1 by default.
            max_waiting: How many requests may wait, 512 by default. More are refused at once.
            deadline_s: How long a request may take, 10 s by default.
            canary: Version -> the share of requests that it gets, 0 to 1; {} ends the one there is.
            shadow: The version that gets copies of all requests, to compare its answers; "none" ends the one there is.
            options: The job's.

        Raises:
            errors.UsageError: The job does not serve, there is no such model, or a value cannot be used.
            errors.JobUnavailable: The cluster is a private one, and this machine cannot do the job.
            errors.BrokerError: The cluster does not answer.
        """
        return self.entry(
            model, job=job, name=name, replicas=replicas, max_waiting=max_waiting, deadline_s=deadline_s,
            canary=canary, shadow=shadow, options=options,
        ).enter()  # fmt: skip

    def entry(
        self, model: str | None, *, job: str | None, name: str | None, deadline_s: float | None,
        options: dict[str, Any], **wanted: Any,
    ) -> Entry:  # fmt: skip
        """Find out all that can be known of a service before it is entered; as ``serve`` otherwise."""
        from cluster.client.serve import Entry

        wanted["deadline_ms"] = None if deadline_s is None else round(deadline_s * 1000)
        return Entry(self._whole, model, job, name, wanted, options)

    def services(self) -> list[ServiceStatus]:
        """The services of the cluster, by name."""
        from cluster.client import services

        return services.read(self.stores.redis)

    def service(self, name: str) -> Service:
        """Return a service by its name.

        Raises:
            errors.UnknownService: There is none.
        """
        from cluster.client import serve, services

        return serve.Service(self._whole, services.require(self.stores.redis, name).name)

    @contextmanager
    def gateway(
        self, host: str = "127.0.0.1", port: int = 0, *, cert: Path | None = None, key: Path | None = None
    ) -> Iterator[Running]:  # fmt: skip
        """Answer HTTP requests to all services of the cluster, as long as the ``with`` lasts.

        Args:
            host: The address to listen on; by default only programs of this machine reach it.
            port: 0 for any free one: ``url`` of what this gives tells.
            cert: A PEM file with the certificate, and those that signed it, for HTTPS.
            key: A PEM file with its key.

        Raises:
            errors.UsageError: The port is taken, or certificate or key cannot be used.
            errors.NotInstalled: The extra ``serve`` is not installed.
            errors.BrokerError: The cluster does not answer.
        """
        from cluster.client import gateway

        with gateway.run(self._whole, host, port, cert, key) as running:
            self._gateway = running
            try:
                yield running
            finally:
                self._gateway = None

    @property
    def gateway_url(self) -> str | None:
        """Where programs reach the gateway that this client runs; None where it runs none."""
        return None if self._gateway is None else self._gateway.url

    def sees_ready(self, service: str) -> bool:
        """Whether what asks services in this process knows of a replica: it looks four times a second."""
        return all(one.is_ready(service) for one in (self._asker, self._gateway) if one is not None)

    @property
    def tokens(self) -> Tokens:
        """The tokens with which programs may ask the services."""
        from cluster.client.services import Tokens

        return Tokens(self.stores.redis)

    @property
    def asker(self) -> Asker:
        """What asks services; it connects at the first question."""
        from cluster.client.asking import Asker

        with self._lock:
            if self._asker is None:
                self._asker = Asker(self.session.config)
                self._open.callback(self._asker.close)
            return self._asker
