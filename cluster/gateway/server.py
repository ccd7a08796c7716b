"""Runs the gateway: uvicorn with its event loop in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cluster import addresses, errors

if TYPE_CHECKING:
    from cluster.gateway.board import Board, State
    from cluster.settings import Settings

LOOPBACK = "127.0.0.1"
BACKLOG = 2048
DRAIN_S = 10
"""Seconds that requests have to be answered when the gateway ends."""
START_S = 30
HOW_TO_INSTALL = "pip install 'cluster[serve]'"


class Running:
    """A gateway for all services of a cluster, as ``with Running(config) as gateway``.

    Args:
        config: Names the broker.
        host: Address to listen on.
        port: 0 takes a free one.
        cert: A certificate, for HTTPS.
        key: The certificate's key; None if it is in the same file.
    """

    def __init__(
        self, config: Settings, *, host: str = LOOPBACK, port: int = 8080, cert: Path | None = None,
        key: Path | None = None,
    ) -> None:  # fmt: skip
        self._config = config
        self._host = host
        self._port = port
        self._cert = cert
        self._key = key
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._server: Any = None
        self._board: Board | None = None

    @property
    def url(self) -> str:
        """Where clients reach it."""
        host, port = self._socket.getsockname()[:2]
        host = addresses.reachable(host)
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._cert else 'http'}://{shown}:{port}"

    def __enter__(self) -> Self:
        _see_installed()
        see_certificate(self._cert, self._key)
        self._socket = bind(self._host, self._port, "gateway")
        self._thread.start()
        if not self._started.wait(START_S):
            raise errors.ClusterError("the gateway did not start in time")
        self.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(DRAIN_S + 5)
        self._socket.close()

    def is_ready(self, service: str) -> bool:
        """Whether requests to a service find a replica, as far as this gateway knows."""
        return self._board is not None and self._board.is_ready(service)

    def check(self) -> None:
        """See that it runs.

        Raises:
            errors.ClusterError: It ended.
        """
        if self._error is not None:
            raise errors.ClusterError(f"the gateway ended: {self._error}") from self._error

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        import uvicorn

        from cluster.gateway.app import App
        from cluster.gateway.auth import Auth
        from cluster.gateway.board import Board
        from cluster.gateway.connection import Connection, look_after
        from cluster.gateway.dispatch import Dispatch
        from cluster.gateway.hub import Hub

        loop = asyncio.get_running_loop()
        auth = Auth()
        async with Hub(self._config.require_broker()) as hub:

            def see(state: State) -> None:
                auth.see(state.tokens)
                if not state.problem:
                    hub.see_services(state.services)

            with Board(self._config, lambda state: loop.call_soon_threadsafe(see, state)) as board:
                self._board = board
                config = uvicorn.Config(
                    App(Dispatch(hub, board), auth), http=Connection, lifespan="off", ws="none", log_config=None,
                    access_log=False, server_header=False, date_header=False, backlog=BACKLOG,
                    timeout_graceful_shutdown=DRAIN_S, ssl_certfile=self._cert, ssl_keyfile=self._key,
                )  # fmt: skip
                self._server = server = uvicorn.Server(config)
                tasks = [
                    loop.create_task(self._tell_started(server)),
                    loop.create_task(look_after(server.server_state.connections)),
                ]
                await server.serve([self._socket])
                for task in tasks:
                    task.cancel()

    async def _tell_started(self, server: Any) -> None:
        while not server.started and not server.should_exit:
            await asyncio.sleep(0.01)
        self._started.set()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _see_installed() -> None:
    try:
        import httptools  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise errors.NotInstalled(f"a gateway needs {error.name}, which is not installed: {HOW_TO_INSTALL}") from None


def see_certificate(cert: Path | None, key: Path | None) -> None:
    """See that a certificate can be used.

    Raises:
        errors.UsageError: It cannot, or its key.
    """
    if cert is None:
        if key is not None:
            raise errors.UsageError(f"the key {key} is of no use without its certificate: give --cert, too")
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        hint = "; give the file of its key with --key" if key is None else ""
        raise errors.UsageError(f"the certificate {cert} with its key cannot be used: {error}{hint}") from None


def bind(host: str, port: int, what: str) -> socket.socket:
    """A socket that listens there, for ``what``.

    Raises:
        errors.UsageError: The address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise errors.UsageError(
            f"the {what} cannot listen on {host}:{port} ({error.strerror}); choose another --port or --host"
        ) from None
    listening.setblocking(False)
    return listening
