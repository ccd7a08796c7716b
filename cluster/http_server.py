"""An HTTP server in a thread of this process: what gateway and page have in common."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from cluster import errors

BACKLOG = 2048
START_S = 30.0
END_S = 5.0
"""Seconds that the thread may take to end, besides those that requests have."""


class HttpServer:
    """Runs uvicorn with its event loop in a thread, as long as the ``with`` lasts.

    Args:
        host: Address to listen on.
        port: 0 takes a free one.
        cert: A certificate, for HTTPS.
        key: The certificate's key; None if it is in the same file.
    """

    WHAT: ClassVar[str]
    """What it is, for messages and the thread."""
    DRAIN_S: ClassVar[int]
    """Seconds that requests have to be answered when it ends."""

    def __init__(self, host: str, port: int, cert: Path | None, key: Path | None) -> None:
        self._host, self._port, self._cert, self._key = host, port, cert, key
        self._thread = threading.Thread(target=self._run, name=self.WHAT, daemon=True)
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._server: Any = None

    def __enter__(self) -> Self:
        see_certificate(self._cert, self._key)
        self._socket = bind(self._host, self._port, self.WHAT)
        self._thread.start()
        try:
            if not self._started.wait(START_S):
                raise errors.ClusterError(f"the {self.WHAT} did not start in time")
            self.check()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(self.DRAIN_S + END_S)
        self._socket.close()

    def check(self) -> None:
        """See that it runs.

        Raises:
            errors.ClusterError: It ended.
        """
        if self._error is not None:
            raise errors.ClusterError(f"the {self.WHAT} ended: {self._error}") from self._error

    async def _serve(self) -> None:
        """Serve until ``should_exit``, by ``_until_it_ends``."""
        raise NotImplementedError

    async def _until_it_ends(self, server: Any, beside: Awaitable[Any]) -> None:
        """Run a uvicorn server on the socket, and ``beside`` as long as that runs; an error in ``beside`` ends both."""
        self._server = server

        def see(task: asyncio.Future[Any]) -> None:
            if not task.cancelled() and task.exception() is not None:
                server.should_exit = True

        tasks = [asyncio.ensure_future(self._tell_started(server)), asyncio.ensure_future(beside)]
        for task in tasks:
            task.add_done_callback(see)
        await server.serve([self._socket])
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001
            self._error = error
        finally:
            self._started.set()

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
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no name of a machine"
        raise errors.UsageError(
            f"the {what} cannot listen on {host}:{port} ({why}); choose another --port or --host"
        ) from None
    listening.setblocking(False)
    return listening
