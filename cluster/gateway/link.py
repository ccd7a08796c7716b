"""A connection to Redis for the requests of all clients together: written at once, its answers given to callbacks.

redis-py connects, with its passwords, TLS and sentinels. From then on replies are read here: an awaited call of
redis-py's client costs a gateway more than all that it does for a request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from cluster import names
from cluster.redis_url import SENTINEL, asking, sentinels_of

CONNECT_TIMEOUT_S = 3
Reply = Callable[[Any], None]
"""Called with Redis's answer, which may be an exception."""
pack: Callable[[tuple[bytes | str | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
"""A command as Redis reads it."""


class Link(asyncio.Protocol):
    """One open connection. ``on_lost`` is called once, when it breaks or is closed."""

    def __init__(self, on_lost: Callable[[Exception | None], None]) -> None:
        self._on_lost = on_lost
        self._replies: deque[Reply] = deque()
        self._reader = hiredis.Reader()
        self._transport: Any = None
        self._writer: Any = None
        """Held, because asyncio closes what it writes to when nobody does."""

    @classmethod
    async def open(cls, url: str, gateway: str, on_lost: Callable[[Exception | None], None]) -> Link:
        """Connect.

        Raises:
            redis.RedisError, OSError: There is no connection to be had.
        """
        made = cls(on_lost)
        connection: Any = _pool(url, names.gateway_connection(gateway)).make_connection()
        await connection.connect()
        made._writer, connection._writer, connection._reader = connection._writer, None, None  # or it would close them
        made._transport = made._writer.transport
        made._transport.set_protocol(made)
        return made

    def send(self, packed: bytes, *replies: Reply) -> None:
        """Write commands, and give the answer of each to its callback in turn."""
        self._replies.extend(replies)
        self._transport.write(packed)

    def close(self) -> None:
        """Break it off."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._replies.popleft()(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.connection_lost(error)
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        on_lost, self._on_lost = self._on_lost, _nothing
        self._replies.clear()
        on_lost(error)


def _nothing(_: object) -> None:
    pass


def _pool(url: str, name: str) -> Any:
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": CONNECT_TIMEOUT_S,
        "client_name": name,
        "protocol": 2,
    }
    if not url.startswith(SENTINEL):
        return redis.asyncio.ConnectionPool.from_url(url, **options)
    found = sentinels_of(url)
    asked = {**asking(found), "retry": Retry(NoBackoff(), 0)}
    sentinel: Any = Sentinel(found.addresses, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    return sentinel.master_for(
        found.master, username=found.username, password=found.password, db=found.db, **options
    ).connection_pool
