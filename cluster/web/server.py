"""Runs the page: uvicorn with its event loop in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cluster import errors
from cluster.gateway import server as gateway
from cluster.web.context import Web
from cluster.web.tending import Tending

START_S = 30.0
DRAIN_S = 3
"""Seconds that requests have to be answered when the page ends; events of live pages never end by themselves."""


class Running:
    """The page, as ``with Running(web, …) as page``.

    Args:
        web: What its handlers work with.
        host: Address to listen on.
        port: 0 takes a free one.
        cert: A certificate, for HTTPS.
        key: The certificate's key; None if it is in the same file.
        proxy: The address of a proxy whose word on who asks is taken; None: of nobody.
    """

    def __init__(
        self, web: Web, host: str, port: int, cert: Path | None = None, key: Path | None = None,
        proxy: str | None = None,
    ) -> None:  # fmt: skip
        self._web, self._host, self._port, self._cert, self._key = web, host, port, cert, key
        self._proxy = proxy
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._server: Any = None
        self._tending = Tending(web)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        gateway.see_certificate(self._cert, self._key)
        self._socket = gateway.bind(self._host, self._port, "page")
        self._thread.start()
        try:
            if not self._started.wait(START_S):
                raise errors.ClusterError("the page did not start in time")
            self.check()
        except BaseException:
            self._socket.close()
            raise
        self._tending.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.should_exit = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._web.channels.end)
        self._tending.stop()
        self._thread.join(DRAIN_S + 5)
        self._socket.close()
        self._web.close()

    def check(self) -> None:
        """See that it runs.

        Raises:
            errors.ClusterError: It ended.
        """
        if self._error is not None:
            raise errors.ClusterError(f"the page ended: {self._error}") from self._error

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=gateway.loop_factory()) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        import uvicorn

        from cluster.web.app import build

        config = uvicorn.Config(
            build(self._web), lifespan="off", ws="none", log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=DRAIN_S, proxy_headers=self._proxy is not None,
            forwarded_allow_ips=self._proxy, ssl_certfile=self._cert, ssl_keyfile=self._key,
        )  # fmt: skip
        self._server = server = uvicorn.Server(config)
        self._loop = asyncio.get_running_loop()
        task = self._loop.create_task(self._tell_started(server))
        await server.serve([self._socket])
        task.cancel()

    async def _tell_started(self, server: Any) -> None:
        while not server.started and not server.should_exit:
            await asyncio.sleep(0.01)
        self._started.set()
