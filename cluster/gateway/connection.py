"""A client's connection: uvicorn's, with limits for those that send slowly, or headers without an end."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cluster.gateway.web import error_body

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's address and headers together."""
SLOW_S = 20.0
"""Seconds in which a request must have come, besides those for the bytes of its body."""
LEAST_BYTES_PER_S = 32 * 1024
UNREAD_S = 20.0
"""Seconds that a client may go on sending what was answered already."""
LOOK_S = 1.0
TOO_SLOW = "the request came too slowly; send it again"
TOO_MUCH = f"the address and headers have more than {MAX_HEAD_BYTES:,} bytes"
_LINES = {400: b"400 Bad Request", 408: b"408 Request Timeout", 431: b"431 Request Header Fields Too Large"}


class Connection(HttpToolsProtocol):
    """One connection. ``look`` finds those to close; there is no timer for each."""

    KIND: ClassVar[bytes] = b"application/json"
    """Of the text that says what is wrong."""
    _began_s = 0.0
    """When the request that is being sent began, or the connection if none did yet; 0 where all has come."""
    _head_bytes = 0
    _body_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """See ``asyncio.Protocol``."""
        super().connection_made(transport)
        self._began_s = time.monotonic()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._began_s = time.monotonic()
        self._head_bytes = self._body_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of its address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All has come."""
        self._began_s = 0.0
        super().on_message_complete()

    def _count(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError(TOO_MUCH)  # httptools ends the parsing

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        try:
            super().data_received(data)
        except httptools.HttpParserError:  # while uvicorn looked at the address
            self.send_400_response("the request is no HTTP")

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with a request that is no HTTP, and close the connection."""
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, TOO_MUCH)
        else:
            self._refuse(400, "the request is no HTTP")

    def look(self, now_s: float) -> None:
        """Close the connection if its client sends too slowly, or what nobody reads."""
        if not self._began_s:
            return
        took_s = now_s - self._began_s
        cycle = self.cycle
        if cycle is not None and cycle.response_complete and self._body_bytes:
            if took_s > UNREAD_S:
                self.transport.abort()
        elif took_s > SLOW_S + self._body_bytes / LEAST_BYTES_PER_S:
            self._refuse(408, TOO_SLOW)

    def _refuse(self, status: int, message: str) -> None:
        transport = self.transport
        if transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = self._told(status, message)
            head = b"HTTP/1.1 %s\r\ncontent-type: %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            transport.write(head % (_LINES[status], self.KIND, len(body)) + body)
        transport.close()

    def _told(self, status: int, message: str) -> bytes:
        return error_body(message)


async def look_after(connections: set[Any]) -> None:
    """Look at all connections each ``LOOK_S``, for ever."""
    while True:
        await asyncio.sleep(LOOK_S)
        now_s = time.monotonic()
        for connection in list(connections):
            connection.look(now_s)
