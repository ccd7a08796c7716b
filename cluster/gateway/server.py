"""Runs the gateway: uvicorn with its event loop in a thread of this process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cluster import addresses, errors
from cluster.http_server import BACKLOG, HttpServer

if TYPE_CHECKING:
    from cluster.gateway.board import Board, State
    from cluster.settings import Settings

LOOPBACK = "127.0.0.1"
HOW_TO_INSTALL = "pip install 'cluster[serve]'"


class Running(HttpServer):
    """A gateway for all services of a cluster, as ``with Running(config) as gateway``.

    Args:
        config: Names the broker.
        host: Address to listen on.
        port: 0 takes a free one.
        cert: A certificate, for HTTPS.
        key: The certificate's key; None if it is in the same file.
    """

    WHAT = "gateway"
    DRAIN_S = 10

    def __init__(
        self, config: Settings, *, host: str = LOOPBACK, port: int = 8080, cert: Path | None = None,
        key: Path | None = None,
    ) -> None:  # fmt: skip
        super().__init__(host, port, cert, key)
        self._config = config
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
        return super().__enter__()

    def is_ready(self, service: str) -> bool:
        """Whether requests to a service find a replica, as far as this gateway knows."""
        return self._board is not None and self._board.is_ready(service)

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
                    timeout_graceful_shutdown=self.DRAIN_S, ssl_certfile=self._cert, ssl_keyfile=self._key,
                )  # fmt: skip
                server = uvicorn.Server(config)
                await self._until_it_ends(server, look_after(server.server_state.connections))


def _see_installed() -> None:
    try:
        import httptools  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise errors.NotInstalled(f"a gateway needs {error.name}, which is not installed: {HOW_TO_INSTALL}") from None
