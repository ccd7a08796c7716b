"""The worker's connection to its broker: Celery's consumer, waiting for Redis as everything here waits for it."""

from __future__ import annotations

import time
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker import consumer
from celery.worker.state import maybe_shutdown
from redis.exceptions import OutOfMemoryError

from cluster import redis_client

ROOM_POLL_S = 1.0
LEFT_OUT = ("celery.worker.consumer.mingle:Mingle", "celery.worker.consumer.gossip:Gossip")


class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc]
    """Without what nodes tell each other: none of ours needs it, each pays for all, and it does not survive outages."""

    default_steps = tuple(step for step in consumer.Consumer.Blueprint.default_steps if step not in LEFT_OUT)


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Celery's own tries again every 30 seconds in the end, with a line for each try, and never when Redis is full."""

    Blueprint = Blueprint
    news: redis_client.Outage
    """Set by ``nodes.prepare``."""

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
        with warnings.catch_warnings():  # about a default that will change: ours is set
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def on_ready(self) -> None:
        """The worker consumes, so its bindings are written."""
        self.news.say_back(wrote=True)
        super().on_ready()
