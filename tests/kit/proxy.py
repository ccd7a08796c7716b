"""A TCP proxy between a node and Redis that can be cut, as a network is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends a reset, not an end of stream."""
CHUNK_BYTES = 64 * 1024


class Proxy:
    """Hands bytes on between its own port and a port on the same host. Use it in a ``with``.

    While it holds, nothing passes: no byte, no end of stream, no new connection, as with an unplugged cable. What
    was held passes when it lets go, as TCP would send it again. With ``tls`` its own port is encrypted. With
    ``bytes_per_s`` each direction of each connection is as slow as that; it may be set anew while bytes pass.
    """

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, bytes_per_s: float | None = None
    ) -> None:
        self.bytes_per_s = bytes_per_s
        self._target = (host, port)
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._passing = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def hold(self) -> None:
        """Let nothing pass from now on."""
        self._do(self._passing.clear)

    def release(self) -> None:
        """Let what was held pass, and all that follows."""
        self._do(self._passing.set)

    def reset(self) -> None:
        """End all connections at once, to both sides, with a reset. New ones may be made."""
        self._do(self._reset)

    def _do(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result()

    async def _listen(self) -> asyncio.Server:
        self._passing.set()
        return await asyncio.start_server(self._serve, self._target[0], 0, ssl=self._tls)

    async def _serve(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(near)
        try:
            await self._passing.wait()
            far_reader, far = await asyncio.open_connection(*self._target)
            self._writers.add(far)
            await asyncio.gather(self._pump(near_reader, far), self._pump(far_reader, near))
        except (OSError, asyncio.CancelledError):
            near.close()  # the other side is not there, or we end
        finally:
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side ends; then the other one hears it, too."""
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._passing.wait()
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            await self._passing.wait()
            writer.close()
            self._writers.discard(writer)

    def _reset(self) -> None:
        for writer in self._writers:
            found: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed by now
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()
        self._writers.clear()

    async def _close(self) -> None:
        self._server.close()
        self._passing.set()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
