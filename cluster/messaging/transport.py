"""Celery's broker: kombu's Redis transports, which also wait for a Redis that is full as for one that is away."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator
from queue import Empty
from typing import TYPE_CHECKING, Any, ClassVar

import redis
from kombu.exceptions import InconsistencyError
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from cluster import keys, redis_connection, redis_outage
from cluster.messaging import delays
from cluster.wire import AGGREGATE, BadMessage

if TYPE_CHECKING:  # its models take 20 ms to make, and a submitter checks no message
    from cluster.messaging.messages import About

OVERDUE_S = 10.0
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
"""Errors that kombu raises for notes of a wrong form: not JSON, other JSON."""
NO_MESSAGE = (Empty, redis.RedisError, OSError, InconsistencyError)
"""Errors where there is no message, or Redis is away or refuses."""
DELAY = "cluster_delay_s"
"""The property of a message that is published for later. It does not travel."""
OUTBOX = "cluster_outbox"
"""The property of a message that goes into another list than its queue: [the list, the seconds it is kept]."""
FRONT = "cluster_front"
"""The property of a message that goes in front of its queue."""
log = logging.getLogger(__name__)


class Message(virtual.Message):
    """A message that outlives the channel it came by, and leaves it to the consumer to say that Redis is away."""

    current: ClassVar[Any] = None
    """The channel that the worker consumes from now."""

    held: ClassVar[dict[str, Any]] = {}
    """Tag -> message that was here when the connection broke, for the consumer to go on with or give back."""

    def ack_log_error(self, logger: Any, errors: tuple[type[Exception], ...], multiple: bool = False) -> None:
        """Acknowledge; what cannot be comes again, and is found settled."""
        with self._tolerant("acknowledged", errors):
            self._revive()
            self.ack(multiple=multiple)

    def reject_log_error(self, logger: Any, errors: tuple[type[Exception], ...], requeue: bool = False) -> None:
        """Put it back into its queue; what cannot be is a stray from now on."""
        with self._tolerant("put back", errors):
            self._revive()
            self.reject(requeue=requeue)

    @contextlib.contextmanager
    def _tolerant(self, what: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
        """Go on without it: an error here, in the worker's event loop, would end the worker."""
        try:
            yield
        except errors:
            pass
        except Exception as error:  # noqa: BLE001
            log.error("a message could not be %s: %r", what, error, extra={"event": "message-kept"})  # noqa: TRY400

    def _revive(self) -> None:
        if self.channel.closed and self.current is not None:
            self.channel = self.current
        if self.channel.connection is None:
            raise redis.ConnectionError("the connection is lost")


class QoS(kombu_redis.QoS):
    """Keeps what it took from the queue when Redis refuses to note it, as one that is full does."""

    ended_badly: ClassVar[bool] = False
    """An error ends this worker, and perhaps one of its messages is the cause. So it puts none back: a failure
    detector does, and counts (see ``restore_strays``)."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as taken and not acknowledged.

        Taking it needed no memory, noting it does. Giving it up would lose it, giving it back is refused as well.
        So it is done without a note: only if this node dies before it is done must the coordinator find it missing.
        """
        try:
            super().append(message, delivery_tag)
        except redis_outage.REFUSES:
            self.hold(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge. Where Redis does not hear of it, its note is a stray from now on: it holds no slot for ever."""
        with self._forgetting(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop, or put back into its queue. Where Redis does not hear of it, as for ``ack``."""
        with self._forgetting(delivery_tag):
            super().reject(delivery_tag, requeue)

    @contextlib.contextmanager
    def _forgetting(self, delivery_tag: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def delivered(self) -> set[str]:
        """The tags of what was delivered and neither acknowledged nor put back."""
        return self._delivered.keys() - self._dirty

    def take_all(self) -> dict[str, Any]:
        """Tag -> message of all that is not acknowledged; it is no longer ours, so closing puts none of it back."""
        self._flush()
        taken = dict(self._delivered)
        self._delivered.clear()
        return taken

    def hold(self, message: Any, delivery_tag: str) -> None:
        """Take over a message that is noted already."""
        virtual.QoS.append(self, message, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back all that is not acknowledged, as the channel closes."""
        if self.ended_badly:
            self._delivered.clear()
        else:
            super().restore_unacked(client)

    def restore_strays(self, *, lost: bool = False) -> list[About]:
        """Put back what is noted as taken and is not here; what cannot be read is dropped.

        All of a lost node's notes are such. So is a living one's that was on its way when the connection broke and
        arrived afterwards, or whose answer did not, or that could not be acknowledged or put back: nobody would do what
        it is about, and nobody miss it either. While Redis is full they stay.

        Args:
            lost: The node that held them is lost. A message with which ``messages.MOST_LOST`` nodes were lost is not
                put back: it may be the cause.

        Returns:
            Those that were not put back for that reason.
        """
        self._flush()
        kept_back = []
        with self.channel.conn_or_acquire() as client, contextlib.suppress(*redis_outage.REFUSES):
            for tag in {
                tag.decode(errors="replace") for tag in client.hkeys(self.unacked_key)
            } - self._delivered.keys():
                try:
                    if about := self.restore_by_tag(tag, client, lost=lost):
                        kept_back.append(about)
                except UNREADABLE as error:
                    self.channel.reject(error)
                    client.hdel(self.unacked_key, tag)
        return kept_back

    def restore_by_tag(
        self, tag: str, client: Any = None, leftmost: bool = False, *, lost: bool = False
    ) -> About | None:
        """Put a message back into its queue, in front: what was begun is not to wait behind all that was not.

        Kombu puts what a worker gives up (``leftmost``) behind everything else. For ``lost`` and what it gives see
        ``restore_strays``.
        """
        if not self.channel.check_messages:
            super().restore_by_tag(tag, client, leftmost=False)
            return None

        from cluster.messaging import messages

        def put_back(pipe: Any) -> About | None:
            note = pipe.hget(self.unacked_key, tag)
            pipe.multi()
            self._remove_from_indices(tag, pipe)
            if note is None:
                return None
            try:
                about = messages.noted(note)
            except BadMessage as error:
                self.channel.reject(error)
                return None
            if lost and about.lost + 1 >= messages.MOST_LOST:
                return about._replace(lost=about.lost + 1)
            about.message["headers"]["lost"] = about.lost + lost
            self.channel._do_restore_message(about.message, "", about.queue, pipe)
            return None

        with self.channel.conn_or_acquire(client) as connected:
            try:
                kept_back: About | None = connected.transaction(put_back, self.unacked_key, value_from_callable=True)
            except redis.ResponseError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                self.channel.reject(error)  # its queue is none, and the note is removed
                return None
        return kept_back

    @contextlib.contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        """A pipeline for notes: no transaction, in which a full Redis refuses even what frees memory."""
        if pipe is not None:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as connected:
                yield connected.pipeline(transaction=False)


class Client(redis.Redis):
    """A channel's connection, which reads no message before the channel has checked it."""

    def __init__(self, checked: Callable[[str, bytes], bytes | None], **options: Any) -> None:
        self._checked = checked
        super().__init__(**options)

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """See ``redis.Redis.parse_response``."""
        answer = super().parse_response(connection, command_name, **options)
        if command_name != "BRPOP" or not answer:
            return answer
        queue, raw = answer
        checked = self._checked(queue.decode(), raw)
        return (queue, checked) if checked is not None else None


class Connected:
    """Makes channels outlive broken and frozen connections, and drop messages that are not in order."""

    QoS = QoS
    Message = Message
    rejected: ClassVar[int] = 0
    """Messages that this process dropped because they were not in order."""

    check_messages = False
    """Whether all messages are ours; those of other apps of this process are not."""
    closed: bool
    qos: Any
    sep: str
    _in_poll: Any
    _queue_cycle: Any
    _asked_at = 0.0

    @classmethod
    def reject(cls, error: Exception) -> None:
        """A message is dropped, for this reason."""
        Connected.rejected += 1
        if isinstance(error, BadMessage):
            log.error("a message is rejected: %s", error, extra={"event": "rejected"})
        else:
            log.error("a message is dropped, it cannot be read: %r", error, extra={"event": "rejected"})

    def _get_client(self) -> Any:
        client: Any = super()._get_client()  # type: ignore[misc]
        return functools.partial(Client, self._check) if self.check_messages else client

    def _check(self, key: str, raw: bytes) -> bytes | None:
        """The message that was taken from a list, or None if it is dropped."""
        from cluster.messaging import messages

        queue = key.rsplit(self.sep, 1)[0]
        try:
            return messages.reply(raw) if queue.endswith(messages.REPLIES) else messages.task(raw, queue)
        except BadMessage as error:
            self._queue_cycle.rotate(queue)  # else its queue stays in front, and the others wait for it
            self.reject(error)
            return None

    def _handle_message(self, client: Any, response: Any) -> dict[str, Any]:
        """Return a message that came by pub/sub, without its data if these are dropped."""
        from cluster.messaging import messages

        heard: dict[str, Any] = super()._handle_message(client, response)  # type: ignore[misc]
        if self.check_messages and heard["type"].endswith(b"message") and heard["data"]:
            try:
                exchange = heard["channel"].decode().partition(".")[2].partition("/")[0]
                heard["data"] = messages.heard(heard["data"], exchange)
            except ValueError as error:
                self.reject(error)
                heard["data"] = b""
        return heard

    def _receive_one(self, client: Any) -> Any:
        """Hear one message. One that Celery stumbles over must not end the worker."""
        try:
            return super()._receive_one(client)  # type: ignore[misc]
        except NO_MESSAGE:
            raise
        except Exception as error:
            if not self.check_messages:
                raise
            self.reject(error)
            return False

    def basic_publish(self, *arguments: Any, **options: Any) -> Any:
        """Publish.

        Raises:
            redis.ConnectionError: The declaration of the queue, just before, had to connect again and closed this
                channel. So the publisher tries again, by a new one.
        """
        if self.closed:
            raise redis.ConnectionError("the connection was lost while the queue was declared")
        return super().basic_publish(*arguments, **options)  # type: ignore[misc]

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        """Send a message to its queue: behind all others; in front of them if it joins parts, or is sent again.

        Or elsewhere: into an outbox, or after a delay. Celery's ETA would depend on the clocks of two nodes.
        """
        properties = dict(message["properties"])  # the same ones come again where Redis does not take it at once
        delay_s, outbox = properties.pop(DELAY, 0), properties.pop(OUTBOX, None)
        message = {**message, "properties": properties}
        front = properties.pop(FRONT, False) or message["headers"].get("task") == AGGREGATE
        if not (delay_s or outbox or front):
            super()._put(queue, message, **options)  # type: ignore[misc]
            return
        channel: Any = self
        key = channel._q_for_pri(queue, channel._get_message_priority(message, reverse=False))
        with channel.conn_or_acquire() as client:
            if delay_s:
                delays.put(client, key, dumps(message), delay_s)
            elif outbox:
                name, kept_s = outbox
                with client.pipeline(transaction=False) as pipe:
                    pipe.lpush(name, dumps(message)).expire(name, kept_s)
                    pipe.zadd(keys.DUE, {keys.run_of(name): 0}, nx=True)  # we may be lost before we feed
                    pipe.expire(keys.DUE, kept_s).execute()
            else:
                client.rpush(key, dumps(message))

    def demand_answer(self) -> None:
        """See that Redis answers what it was asked of the queues: within a second, be it that there is nothing.

        Raises:
            redis.TimeoutError: It is overdue. kombu itself would wait until the connection breaks, which it need not
                when Redis, or its machine, freezes and another one takes its place.
        """
        if self._in_poll and time.monotonic() - self._asked_at > OVERDUE_S:
            raise redis.TimeoutError("no answer from the queues")

    def _brpop_read(self, **options: Any) -> Any:
        """Read an answer and pass the message on. One that Celery stumbles over must not end the worker."""
        before = set(self.qos._delivered)
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except NO_MESSAGE:
            raise
        except Exception as error:
            if not (self.check_messages or isinstance(error, UNREADABLE)):
                raise
            self.reject(error)
            for tag in self.qos._delivered.keys() - before:
                self.qos.reject(tag)
            return True

    def _brpop_start(self, *arguments: Any, **options: Any) -> Any:
        self._asked_at = time.monotonic()
        return super()._brpop_start(*arguments, **options)  # type: ignore[misc]


class Channel(Connected, kombu_redis.Channel):
    """For a Redis that is named."""

    from_transport_options = (*kombu_redis.Channel.from_transport_options, "check_messages")  # type: ignore[assignment]


class SentinelChannel(Connected, kombu_redis.SentinelChannel):
    """For a Redis that sentinels know."""

    connection_class = redis_connection.MasterConnection
    from_transport_options = (*kombu_redis.SentinelChannel.from_transport_options, "check_messages")  # type: ignore[assignment]


class Transport(kombu_redis.Transport):
    """For a Redis that is named."""

    Channel = Channel
    connection_errors = (*kombu_redis.Transport.connection_errors, *redis_outage.REFUSES)
    # Without these two, kombu retries each error once, even of those that a connection may have again.
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = ()


class SentinelTransport(kombu_redis.SentinelTransport):
    """For a Redis that sentinels know."""

    Channel = SentinelChannel
    connection_errors = Transport.connection_errors
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = ()
