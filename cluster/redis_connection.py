"""Connections to Redis on which a timeout bounds progress, not a whole value."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import redis
from redis._parsers import Encoder
from redis.connection import HiredisRespSerializer, PythonRespSerializer
from redis.sentinel import SentinelManagedConnection

from cluster.redis_outage import note_progress

PIECE_BYTES = 16 * 1024
BUFFERED_BYTES = 8 * 2**20
"""Bytes that were sent and may still be on their way, in the buffers of this machine and of those between."""
SLOWEST_BYTES_PER_S = 64 * 1024
"""Bytes on their way that are taken to arrive in a second."""


UNNAMED: Mapping[str, Any] = (
    {"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}
)
"""Redis is not told which library connects: redis-py looks its version up for each connection, which takes 2 ms."""


class _Packer(HiredisRespSerializer):
    """Packs commands as redis-py does; but values of a hash, which may be large, are sent from where they lie.

    hiredis copies each, into fresh memory.
    """

    def __init__(self) -> None:
        self._large = PythonRespSerializer(PIECE_BYTES, Encoder("utf-8", "strict", decode_responses=False).encode)  # type: ignore[no-untyped-call]

    def pack(self, *arguments: Any) -> Any:
        """The command's bytes, in pieces."""
        packer: Any = self._large if arguments[0] == "HSET" else super()
        return packer.pack(*arguments)


class _Steady:
    """A connection on which a timeout bounds progress. redis-py's own bounds a whole value, however large it is."""

    _sent_bytes = 0
    _sending_s = 0.0
    _sock: Any
    socket_timeout: Any
    disconnect: Callable[[], None]

    def __init__(self, **options: Any) -> None:
        super().__init__(command_packer=_Packer(), **{**UNNAMED, **options})  # type: ignore[call-arg]

    def send_packed_command(self, command: Any, check_health: bool = True) -> Any:
        """Send, piece by piece."""
        return super().send_packed_command(self._pieces(command), check_health)  # type: ignore[misc]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read an answer. It may take until what was sent before it has arrived."""
        sock = self._sock
        if sock is None or self.socket_timeout is None or self._sent_bytes <= PIECE_BYTES:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        seen = max(0, self._sent_bytes - BUFFERED_BYTES) / max(self._sending_s, 0.001)
        sock.settimeout(self.socket_timeout + min(self._sent_bytes, BUFFERED_BYTES) / max(SLOWEST_BYTES_PER_S, seen))
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        finally:
            if self._sock is sock:
                sock.settimeout(self.socket_timeout)

    def can_read(self, *arguments: Any, **options: Any) -> bool:
        """Whether something has come that nobody asked for.

        A pool asks before it gives a connection out, with no retry around it. One that is found broken is closed: the
        command opens it again, and retries that.
        """
        try:
            return bool(super().can_read(*arguments, **options))  # type: ignore[misc]
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            self.disconnect()
            return False

    def _pieces(self, command: Any) -> Iterator[Any]:
        began_s = time.monotonic()
        self._sent_bytes = 0
        for item in [command.encode()] if isinstance(command, str) else command:
            view = memoryview(item)
            for at in range(0, len(view), PIECE_BYTES):
                piece = view[at : at + PIECE_BYTES]
                yield piece
                self._sent_bytes += len(piece)
                note_progress()
        self._sending_s = time.monotonic() - began_s


class SteadyConnection(_Steady, redis.Connection):
    """See ``_Steady``."""


class SteadySSLConnection(_Steady, redis.SSLConnection):
    """See ``_Steady``."""


STEADY: Mapping[type, type] = {redis.Connection: SteadyConnection, redis.SSLConnection: SteadySSLConnection}


class MasterConnection(_Steady, SentinelManagedConnection):
    """Asks the sentinels each time it connects.

    redis-py (8.1) asks only when a connection is taken from its pool: the retries of a command that
    was under way go to where the master was.
    """

    def _connect(self) -> Any:
        self.host, self.port = self.connection_pool.get_master_address()
        return super()._connect()  # type: ignore[no-untyped-call]
