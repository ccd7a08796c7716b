"""Celery's broker: kombu's Redis transports, which also wait for a Redis that is full as for one that is away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import OutOfMemoryError

held: set[str] = set()
"""Tags of messages that this process took, does not work on, and could not give back yet; the consumer tries again."""


class Message(virtual.Message):
    """Leaves it to the consumer to say that Redis is away or full."""

    def ack_log_error(self, logger: Any, errors: tuple[type[Exception], ...], multiple: bool = False) -> None:
        """Acknowledge; what cannot be comes again, and is found settled."""
        with contextlib.suppress(*errors):
            self.ack(multiple=multiple)

    def reject_log_error(self, logger: Any, errors: tuple[type[Exception], ...], requeue: bool = False) -> None:
        """Put it back into its queue."""
        try:
            self.reject(requeue=requeue)
        except errors:
            held.add(self.delivery_tag)


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

    @contextlib.contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        """A pipeline for notes: no transaction, in which a full Redis refuses even what frees memory."""
        if pipe is not None:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as connected:
                yield connected.pipeline(transaction=False)


class Channel(kombu_redis.Channel):
    """For a Redis that is named."""

    QoS = QoS
    Message = Message


class SentinelChannel(kombu_redis.SentinelChannel):
    """For a Redis that sentinels know."""

    QoS = QoS
    Message = Message


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
