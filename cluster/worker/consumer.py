"""The worker's connection to its broker: Celery's consumer, waiting for Redis as everything here waits for it."""

from __future__ import annotations

import heapq
import logging
import time
import warnings
from typing import Any

import redis
from celery.concurrency.prefork import TaskPool
from celery.events.dispatcher import EventDispatcher
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import consumer
from celery.worker import state as worker_state
from celery.worker.state import active_requests, maybe_shutdown
from kombu.asynchronous.timer import Timer

from cluster import redis_client, redis_outage
from cluster.messaging.transport import Message, QoS

WRITES_POLL_S = 1.0
REFUSED_S = 1.0
"""Seconds before the worker connects again after an unexpected refusal."""
STRAYS_S = 2.0
log = logging.getLogger(__name__)


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Sends events for monitors, and none while Redis is away. Celery's own sends heartbeats again without end,
    and its event loop stands still meanwhile."""

    def _publish(self, event: Any, producer: Any, routing_key: str, **_: Any) -> None:
        if not Consumer.news.is_on:
            super()._publish(event, producer, routing_key, retry=False)


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Celery's own tries again every 30 seconds in the end, with a line for each try, and never when Redis is full."""

    news: redis_outage.Outage
    """Set by ``setup.prepare``."""
    connection_errors: tuple[type[Exception], ...]
    _strays: Any = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Gossip between nodes: no node here needs it, each pays for all the others, and it does not survive an outage.
        super().__init__(*arguments, **options, without_gossip=True, without_mingle=True)
        # An unexpected refusal must not end the worker.
        self.connection_errors = (*self.connection_errors, redis.ResponseError)
        self._suspects: set[str] = set()
        self._refusal = ""

    def start(self) -> None:
        """Consume until the worker ends."""
        try:
            super().start()
        except Exception:
            QoS.ended_badly = True
            raise

    def ensure_connected(self, conn: Any) -> Any:
        """Wait for a Redis that answers and takes writes: a consumer writes its bindings first."""

        def tell(error: Exception, interval: float) -> None:
            self.news.say_away(error)

        conn.ensure_connection(tell, None, 0.1, 0.2, 2, callback=maybe_shutdown)
        self.news.say_back()
        client = conn.default_channel.client
        while refusal := redis_client.refusal(client):
            self.news.say_away(refusal)
            maybe_shutdown()
            time.sleep(WRITES_POLL_S)
        self.first_connection_attempt = False
        return conn

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The connection is lost, or Redis refuses what the worker cannot do without."""
        self.news.say_away(exc)
        if isinstance(exc, redis.ResponseError) and not isinstance(exc, redis_outage.REFUSES):
            time.sleep(REFUSED_S)
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
        self._strays = self.timer.call_repeatedly(STRAYS_S, self.tidy)
        super().on_ready()

    def tidy(self) -> None:
        """Put right what Celery and kombu leave as it is."""
        forget_cancelled(self.timer)
        self.put_back()

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

    def put_back(self) -> None:
        """Put back into their queues what this node holds and nothing of it works on."""
        qos = self.task_consumer.channel.qos
        try:
            self._put_back_orphans(qos)
            qos.restore_strays()
            self._refusal = ""
        except redis.ResponseError as error:
            if str(error) != self._refusal:
                log.error("messages cannot be put back now: %s", error, extra={"event": "message-kept"})  # noqa: TRY400
            self._refusal = str(error)

    def _put_back_orphans(self, qos: Any) -> None:
        """Put back what was delivered and has neither a process, nor a place before the pool, nor a time to come.

        Whatever went wrong in between: such a message would fill a slot for ever. It is one in two looks running, as
        there is a moment between its parts.
        """
        if not isinstance(self.pool, TaskPool):  # others keep no account of what they work on
            return
        waiting = {id(argument) for _, arguments, _ in self.controller.semaphore._waiting for argument in arguments}
        known = {*worker_state.reserved_requests, *worker_state.active_requests, *worker_state.scheduled_requests}
        requests = {request.message.delivery_tag: request for request in known}
        orphans = {
            tag
            for tag in qos.delivered() | requests.keys()
            if tag not in requests or not (id(requests[tag]) in waiting or _is_with_somebody(requests[tag]))
        }
        for tag in orphans & self._suspects:
            log.error("a message that no process works on goes back to its queue", extra={"event": "handed-back"})
            if tag in requests:
                worker_state.task_ready(requests[tag])
            if tag in qos.delivered():
                qos.reject(tag, requeue=True)
        self._suspects = orphans


def forget_cancelled(timer: Any) -> None:
    """Drop cancelled entries of the event loop's timer: kombu keeps each until it is due.

    Each task has one for its time limit, with 0.6 KB, and is long done by then.
    """
    if isinstance(timer, Timer):  # others have a thread of their own
        left = [entry for entry in timer._queue if not entry.entry.canceled]
        if len(left) < len(timer._queue):
            heapq.heapify(left)
            timer._queue[:] = left  # in place: the loop holds the list


def _is_with_somebody(request: Any) -> bool:
    """Whether a request waits for its time, or is in the pool, which tells when its process dies."""
    if request in worker_state.scheduled_requests:
        return True
    result = request._apply_result and request._apply_result()
    return result is not None and not result.ready()
