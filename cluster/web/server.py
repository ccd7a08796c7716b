"""Runs the page: uvicorn with its event loop in a thread of this process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster.http_server import HttpServer
from cluster.web.context import Web
from cluster.web.tending import Tending


class Running(HttpServer):
    """The page, as ``with Running(web, …) as page``.

    Args:
        web: What its handlers work with.
        host: Address to listen on.
        port: 0 takes a free one.
        cert: A certificate, for HTTPS.
        key: The certificate's key; None if it is in the same file.
        proxy: The address of a proxy whose word on who asks is taken; None: of nobody.
    """

    WHAT = "page"
    DRAIN_S = 3
    """Events of live pages never end by themselves."""

    def __init__(
        self, web: Web, host: str, port: int, cert: Path | None = None, key: Path | None = None,
        proxy: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(host, port, cert, key)
        self._web, self._proxy = web, proxy
        self._tending = Tending(web)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        super().__enter__()
        self._tending.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.should_exit = True  # before its streams end, so that no new one begins
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._web.channels.end)
        self._tending.stop()
        super().__exit__(kind, error, trace)
        self._web.close()

    async def _serve(self) -> None:
        import uvicorn

        from cluster.gateway.connection import look_after
        from cluster.web import render
        from cluster.web.app import build
        from cluster.web.connection import Connection

        config = uvicorn.Config(
            build(self._web), http=Connection, lifespan="off", ws="none", log_config=None, access_log=False,
            server_header=False, timeout_graceful_shutdown=self.DRAIN_S, proxy_headers=self._proxy is not None,
            forwarded_allow_ips=self._proxy, ssl_certfile=self._cert, ssl_keyfile=self._key,
        )  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._loop.run_in_executor(None, render.prepare)
        server = uvicorn.Server(config)
        await self._until_it_ends(server, look_after(server.server_state.connections))
