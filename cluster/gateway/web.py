"""Requests and answers of HTTP, as ASGI has them: bodies with their limits, JSON, one form for what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeVar

import orjson

from cluster.gateway.problems import Gone, Problem, wrong

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
MAX_BODY_BYTES = 64 * 2**20
MAX_READING_BYTES = 512 * 2**20
"""Of all bodies that are being read."""
LARGE_BYTES = 256 * 1024
"""What is larger is read and written in a thread, so that others are answered meanwhile."""
JSON = (b"content-type", b"application/json")


T = TypeVar("T")


class Call:
    """One request of a client."""

    __slots__ = ("authorization", "content_length", "content_type", "headers", "method", "path", "receive", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.receive = receive
        self.send = send
        self.headers: Headers = scope["headers"]
        self.authorization = self.content_type = self.content_length = b""
        for name, value in self.headers:
            if name == b"authorization":
                self.authorization = value
            elif name == b"content-type":
                self.content_type = value
            elif name == b"content-length":
                self.content_length = value

    def header(self, name: bytes) -> str | None:
        """A header by its name in small letters; None where it is not there."""
        for there, value in self.headers:
            if there == name:
                return value.decode("latin-1")
        return None

    def is_gone(self) -> bool:
        """Whether the client hung up. uvicorn knows, and tells only those who wait for the rest of a body."""
        return getattr(getattr(self.receive, "__self__", None), "disconnected", False) is True


class Bodies:
    """Reads the bodies of requests, all together within a limit."""

    def __init__(self) -> None:
        self._reading_bytes = 0

    async def read(self, call: Call) -> bytes:
        """The whole body.

        Raises:
            Problem: It is too large (413), or too much is being read (503).
            Gone: The client hung up.
        """
        if call.content_length:
            see_size(int(call.content_length) if call.content_length.isdigit() else 0)
        message = await call.receive()
        if message["type"] != "http.request":
            raise Gone
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            see_size(len(body))
            return body
        return await self._long(call, body)

    async def _long(self, call: Call, first: bytes) -> bytes:
        parts, size = [first], len(first)
        self._reading_bytes += size
        try:
            while True:
                message = await call.receive()
                if message["type"] != "http.request":
                    raise Gone
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                self._reading_bytes += len(part)
                see_size(size)
                if self._reading_bytes > MAX_READING_BYTES:
                    raise Problem(503, "the gateway is reading too much at a time; ask again later", 1)
                if not message.get("more_body", False):
                    return b"".join(parts)
        finally:
            self._reading_bytes -= size


def see_size(size_bytes: int) -> None:
    """See that a body may be so large.

    Raises:
        Problem: It may not (413).
    """
    if size_bytes > MAX_BODY_BYTES:
        raise Problem(413, f"the body has more than {MAX_BODY_BYTES:,} bytes, the limit; send it in several requests")


async def aside(size_bytes: int, work: Callable[..., T], *args: Any) -> T:
    """Do work on so many bytes, in a thread if they are many."""
    return await asyncio.to_thread(work, *args) if size_bytes > LARGE_BYTES else work(*args)


async def respond(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a whole answer, JSON unless the headers say otherwise."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def respond_binary(send: Send, body: bytes, head_bytes: int) -> None:
    """Send JSON of so many bytes, and the tensors that follow it."""
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    headers.append((b"inference-header-content-length", b"%d" % head_bytes))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_text(send: Send, body: bytes, content_type: bytes) -> None:
    """Send a whole answer of another type."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def headers_of(problem: Problem) -> Headers:
    """What a client is told beside the text of a problem."""
    if problem.status == 401:
        return [(b"www-authenticate", b'Bearer realm="cluster"')]
    if problem.retry_after_s is not None:
        return [(b"retry-after", b"%d" % problem.retry_after_s)]
    return []


def error_body(message: str) -> bytes:
    """What is wrong, as V2 has it."""
    return orjson.dumps({"error": message.encode(errors="replace").decode()})


def json_of(body: bytes) -> Any:
    """Read JSON.

    Raises:
        Problem: It is none (400).
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise wrong(f"the body is no JSON: {error}") from None
