"""A cluster on this machine that a command starts, and ends with itself: `cluster up` and `cluster web`."""

from __future__ import annotations

import functools
import ipaddress
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from cluster import addresses, client, errors, redis_url
from cluster.embedded import LOOPBACK, LocalCluster, hub, redis_server

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.client.run import Status
    from cluster.settings import Settings

STOP_GRACE_S = 10.0
"""How long its worker may go on with what it does when it ends."""
MOST_RUNS = 100
FOLDER = "hub"


def folder(config: Settings) -> Path:
    """Where this machine keeps its own cluster, unless another folder is named."""
    return config.data_folder / FOLDER


def running(config: Settings, data: Path | None = None) -> str | None:
    """The broker's URL of the kept cluster of this machine that a `cluster up` or `cluster web` has open, if any."""
    return hub.running(data or folder(config), LOOPBACK)


def shown(url: str) -> str:
    """A broker's URL without its password."""
    return redis_url.masked(url)


class Listening(NamedTuple):
    """Where the Redis of an own cluster listens."""

    host: str
    problem: str = ""
    """Why other machines cannot join it, though they were to; "" if they can, or were not to."""


def beside(host: str) -> Listening:
    """Where its Redis listens if a page beside it does at ``host``: who reaches one reaches the other."""
    address = addresses.ipv4(host)
    if not address:
        problem = "" if _is_loopback(host) else f"its Redis wants an IPv4 address, and {host} has none"
        return Listening(LOOPBACK, problem)
    try:
        redis_server.check_may_listen(redis_server.find(), address)
    except errors.NoRedisServer as error:
        return Listening(LOOPBACK, str(error))
    return Listening(address)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


class OwnCluster:
    """A Redis, and a worker unless none is wanted, as ``with OwnCluster() as own``.

    Args:
        host: Address that its Redis listens on, besides the loopback one.
        port: Of its Redis; 0 for any free one, or that of ``data``.
        data: Keep port, password and runs there; None: all goes with the cluster.
        worker: Whether this machine takes work.

    Raises:
        errors.UsageError: Another process has ``data`` open, or it is no folder for a cluster.
        errors.NoRedisServer: No Redis was found, or it does not start.
    """

    def __init__(
        self, host: str = LOOPBACK, port: int = 0, *, data: Path | None = None, worker: bool = True
    ) -> None:  # fmt: skip
        self._host, self._port, self.data, self._has_worker = host, port, data, worker
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with self._open as opening:
            kept = opening.enter_context(hub.opened(self.data)) if self.data else None
            self._local = opening.enter_context(
                LocalCluster(self._host, self._port, grace_s=STOP_GRACE_S, kept=kept)
            )  # fmt: skip
            if self._has_worker:
                self._local.start_worker()
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def url_at(self, host: str) -> str:
        """The broker's URL for machines that know this one as ``host``."""
        return self._local.url_at(host)

    @property
    def port(self) -> int:
        """Where its Redis listens."""
        return self._local.port

    @functools.cached_property
    def client(self) -> Client:
        """Its client."""
        return self._open.enter_context(client.existing(self._local.url))

    def master(self) -> AbstractContextManager[object]:
        """Take over runs whose submitter is gone, as long as the ``with`` of what this gives."""
        return self.client.master(patient=False)

    def check(self) -> None:
        """See that its Redis runs.

        Raises:
            errors.BrokerError: It has ended.
        """
        self._local.check(needed=["redis"])

    def worker_news(self) -> str:
        """How its worker ended, in words; "" while it runs, and from the second call on."""
        return self._local.worker_news()

    def going(self) -> list[Status]:
        """The runs that are not over.

        Raises:
            redis.RedisError: Its Redis does not answer.
        """
        return [run for run in self.client.runs(MOST_RUNS) if run.state == "running"]
