"""The worker's connection to its broker: Celery's consumer, waiting for Redis as everything here waits for it."""

from __future__ import annotations

import time
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker import consumer
from celery.worker.state import active_requests, maybe_shutdown
from redis.exceptions import OutOfMemoryError

from cluster import redis_client
from cluster.broker import Message

ROOM_POLL_S = 1.0
STRAYS_S = 2.0


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Celery's own tries again every 30 seconds in the end, with a line for each try, and never when Redis is full."""

    news: redis_client.Outage
    """Set by ``nodes.prepare``."""
    _strays: Any = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # What nodes tell each other: none of ours needs it, each pays for all, and it does not survive an outage.
        super().__init__(*arguments, **options, without_gossip=True, without_mingle=True)

    def ensure_connected(self, conn: Any) -> Any:
        """Wait for a Redis that answers and has room, for whoever begins to consume writes its bindings first."""

        def tell(error: Exception, interval: float) -> None:
            self.news.say_away(error)

        conn.ensure_connection(tell, None, 0.1, 0.2, 2, callback=maybe_shutdown)
        self.news.say_back()
        client = conn.default_channel.client
        while redis_client.is_full(client):
            self.news.say_away(OutOfMemoryError())
            maybe_shutdown()
            time.sleep(ROOM_POLL_S)
        self.first_connection_attempt = False
        return conn

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The connection is lost."""
        self.news.say_away(exc)
        if self._strays is not None:
            self._strays.cancel()
        if self.task_consumer is not None:
            Message.held.update(self.task_consumer.channel.qos.take_all())
        with warnings.catch_warnings():  # about a default that will change: ours is set
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def on_ready(self) -> None:
        """The worker consumes, so its bindings are written."""
        self.news.say_back(wrote=True)
        self.give_back()
        self._strays = self.timer.call_repeatedly(STRAYS_S, self.task_consumer.channel.qos.restore_strays)
        super().on_ready()

    def give_back(self) -> None:
        """Go on with the messages we had when the connection broke: keep those at work, put back the others.

        With the connection Celery forgets what waits for a slot or for its next attempt. Kombu would put all back, so
        that what is at work is done twice, and fail where Redis is away, so that the rest is noted as held for ever.
        """
        channel = Message.current = self.task_consumer.channel
        at_work = {request.message.delivery_tag for request in active_requests}
        for tag, message in tuple(Message.held.items()):
            if tag in at_work:
                channel.qos.hold(message, tag)
            else:
                channel.qos.restore_by_tag(tag)
            del Message.held[tag]
