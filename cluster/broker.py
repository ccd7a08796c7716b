"""Celery's broker: kombu's Redis transports, which also wait for a Redis that is full as for one that is away."""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import OutOfMemoryError

log = logging.getLogger(__name__)


class QoS(kombu_redis.QoS):
    """Keeps what it took from the queue when Redis has no room to note it."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as taken and not acknowledged.

        Taking it needed no memory, noting it does. Giving it up would lose it, giving it back is refused as well.
        So it is done without a note: only if this node dies before it is done must the coordinator find it missing.
        """
        try:
            super().append(message, delivery_tag)
        except OutOfMemoryError:
            virtual.QoS.append(self, message, delivery_tag)


class Channel(kombu_redis.Channel):
    """For a Redis that is named."""

    QoS = QoS


class SentinelChannel(kombu_redis.SentinelChannel):
    """For a Redis that sentinels know."""

    QoS = QoS


class Transport(kombu_redis.Transport):
    """For a Redis that is named."""

    Channel = Channel
    connection_errors = (*kombu_redis.Transport.connection_errors, OutOfMemoryError)
    # Without these two, kombu retries each error once, even of those that a connection may have again.
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = ()


class SentinelTransport(kombu_redis.SentinelTransport):
    """For a Redis that sentinels know."""

    Channel = SentinelChannel
    connection_errors = Transport.connection_errors
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = ()
