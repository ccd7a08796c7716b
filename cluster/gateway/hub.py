"""Sends requests to replicas by way of Redis, and gives each its answer; usable without HTTP.

All requests that arrive in one turn of the event loop go out in one write. A request is an entry in a table, not a
task, and has no timer: one look at the table each ``LOOK_S`` finds those that are late, lost or wanted no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Any, Self

import redis.exceptions

from cluster import keys, names
from cluster.gateway.line import Line
from cluster.gateway.link import Link, pack
from cluster.gateway.problems import Gone, Problem, unavailable
from cluster.names import Target
from cluster.services import messages, traffic
from cluster.services.messages import Answer, Request
from cluster.wire import BadMessage

LOOK_S = 0.02
TAKE = 512
"""Messages with answers that are taken at a time."""
WAIT_S = 1
"""Seconds that Redis is asked to wait for an answer, before the gateway asks again."""
SILENT_S = 3.0
"""A Redis that says nothing for so long is away."""
CLOCK_S = 5.0
"""Seconds after which Redis's clock is read again."""
MAX_BYTES = 512 * 2**20
"""Bytes of all requests that wait, at most."""
ENDED_S = 1.0
"""Seconds that the replicas of a service that was stopped have to answer what they took."""
AWAY = "the gateway has no connection to the cluster's Redis; ask again in a second"
RECONNECT_S = (0.05, 0.1, 0.2, 0.5, 1.0)
log = logging.getLogger(__name__)


class Ask:
    """A request that waits for its answer."""

    __slots__ = ("deadline_s", "future", "id", "is_gone", "line", "message", "resent", "sent_s", "size_bytes")

    def __init__(
        self, id_: int, line: Line, message: bytes, size_bytes: int, sent_s: float, deadline_s: float,
        future: asyncio.Future[Answer], is_gone: Callable[[], bool] | None,
    ) -> None:  # fmt: skip
        self.id = id_
        self.line = line
        self.message = message
        self.size_bytes = size_bytes
        self.sent_s = sent_s
        self.deadline_s = deadline_s
        self.future = future
        self.is_gone = is_gone
        self.resent = False


class Hub:
    """The requests of one gateway. Used in one event loop, as ``async with Hub(url) as hub``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.gateway = names.new_gateway()
        self._answers_key = keys.answers(self.gateway)
        self._take = pack((b"BLPOP", self._answers_key, WAIT_S)) + pack((b"LPOP", self._answers_key, TAKE))
        self.lines: dict[Target, Line] = {}
        self.waiting_bytes = 0
        self._asks: dict[int, Ask] = {}
        self._last_id = 0
        self._outbox: dict[Line, list[bytes]] = {}
        self._urgent: dict[Line, list[bytes]] = {}
        self._large: list[bytes] = []
        self._flushing = False
        self._doubtful: set[Line] = set()
        """Lines whose length is to be asked for at the next look."""
        self._requests: Link | None = None
        self._taking: Link | None = None
        self._heard_s = 0.0
        self._clock_s = 0.0
        self._told_s = 0.0
        self._ahead_ms = 0.0
        """What Redis's clock is ahead of the event loop's."""
        self._lost = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await self._connect()
        self._tasks = [self._loop.create_task(self._stay_connected()), self._loop.create_task(self._look_again())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._disconnect(None)

    @property
    def is_connected(self) -> bool:
        """Whether Redis is there, as far as this gateway knows."""
        return self._taking is not None

    @property
    def waiting(self) -> int:
        """Requests without an answer."""
        return len(self._asks)

    def line(self, target: Target) -> Line:
        """What is known of a target."""
        line = self.lines.get(target)
        if line is None:
            line = self.lines[target] = Line(target, self._see_reply)
        return line

    def see_services(self, names: Collection[str]) -> None:
        """These are the services now. What waits for others is given up in ``ENDED_S``, for nobody takes it."""
        now_s = self._loop.time()
        for target, line in self.lines.items():
            line.ended_s = None if target.service in names else now_s if line.ended_s is None else line.ended_s

    def admit(self, line: Line, count: int, limit: int, deadline_s: float) -> None:
        """See that so many more requests may wait: see ``Line.admit``.

        Raises:
            Problem: They may not (429).
        """
        try:
            line.admit(count, limit, deadline_s, self._loop.time())
        except Problem:
            self._doubtful.add(line)  # who is refused writes nothing, and so would never see the list get shorter
            raise

    def post(
        self, line: Line, kind: messages.Kind, name: str, payload: bytes, tensors: tuple[messages.Shape, ...] = (),
        *, timeout_s: float, is_gone: Callable[[], bool] | None = None,
    ) -> asyncio.Future[Answer]:  # fmt: skip
        """Send a request; the future has its answer, or fails.

        Args:
            line: Of its target. ``Line.admit`` is asked before.
            kind, name, payload, tensors: See ``messages.Request``.
            timeout_s: After which it fails with 504.
            is_gone: Tells that nobody waits for it any more; then it fails with ``Gone``.

        Raises:
            Problem: Redis is away (503), it is larger than replicas take (413), or too many bytes wait (429).
        """
        if self._taking is None:
            raise unavailable(AWAY)
        size_bytes = len(payload)
        if size_bytes > messages.MAX_PAYLOAD_BYTES:
            raise Problem(413, f"{name or 'tensors'} of {size_bytes:,} bytes; at most {messages.MAX_PAYLOAD_BYTES:,}")
        if self.waiting_bytes + size_bytes > MAX_BYTES:
            line.refused += 1
            raise Problem(429, f"requests of {self.waiting_bytes:,} bytes wait already; ask again later", 1)
        now_s = self._loop.time()
        self._last_id = id_ = self._last_id + 1
        deadline_s = now_s + timeout_s
        deadline_ms = int(deadline_s * 1000 + self._ahead_ms)
        request = Request(id_, self.gateway, deadline_ms, kind, name, payload, tensors)
        if size_bytes > messages.INLINE_BYTES:
            self._large.append(pack((b"SET", request.payload_key, payload, b"PX", max(1, int(timeout_s * 1000)))))
            request = request.referring()
        future: asyncio.Future[Answer] = self._loop.create_future()
        message = request.pack()
        self._asks[id_] = Ask(id_, line, message, size_bytes, now_s, deadline_s, future, is_gone)
        self.waiting_bytes += size_bytes
        line.enter(now_s)
        waiting = self._outbox.get(line)
        if waiting is None:
            self._outbox[line] = [message]
        else:
            waiting.append(message)
        self._flush_soon()
        return future

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        link = self._requests
        outbox, urgent, large = self._outbox, self._urgent, self._large
        self._outbox, self._urgent, self._large = {}, {}, []
        if link is None:
            return
        packed = large
        replies: list[Callable[[Any], None]] = [self._see_reply] * len(large)
        for command, lists in ((b"LPUSH", urgent), (b"RPUSH", outbox)):
            for line, waiting in lists.items():
                packed.append(pack((command, line.key, *waiting)))
                packed.append(line.expire)
                replies += (line.see_length, self._see_reply)
        link.send(b"".join(packed), *replies)

    def _see_reply(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._disconnect(reply)

    def _see_answers(self, reply: Any) -> None:
        """One of BLPOP's and LPOP's; the second asks again."""
        if isinstance(reply, Exception):
            self._disconnect(reply)
        elif reply is not None:
            self._give(reply[1])

    def _see_more_answers(self, reply: Any) -> None:
        self._heard_s = self._loop.time()
        if isinstance(reply, Exception):
            self._disconnect(reply)
            return
        for message in reply or ():
            self._give(message)
        if self._taking is not None:
            self._taking.send(self._take, self._see_answers, self._see_more_answers)

    def _give(self, message: bytes) -> None:
        """Give the answers of one batch to those who wait for them."""
        try:
            answers, took_us = messages.unpack_batch(message)
        except BadMessage as error:
            log.warning("dropped answers that cannot be read: %s", error)
            return
        now_s = self._loop.time()
        line = None
        for answer in answers:
            ask = self._asks.pop(answer.id, None)
            if ask is None:  # answered before, late, or its client is gone
                continue
            line = ask.line
            self._end(ask, now_s)
            line.answered(now_s - ask.sent_s, took_us)
            if answer.id > line.newest_answered:
                line.newest_answered = answer.id
            if not ask.future.done():
                ask.future.set_result(answer)
        if line is not None:
            line.batches.add(len(answers))

    def _end(self, ask: Ask, now_s: float) -> None:
        self.waiting_bytes -= ask.size_bytes
        if ask.size_bytes > messages.INLINE_BYTES:
            self._large.append(pack((b"UNLINK", keys.payload(self.gateway, ask.id))))
            self._flush_soon()
        ask.line.leave(now_s)

    def _fail(self, ask: Ask, error: Exception) -> None:
        self._asks.pop(ask.id, None)
        self._end(ask, self._loop.time())
        if not ask.future.done():
            ask.future.set_exception(error)

    # Late, lost and unwanted requests

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self._look(self._loop.time())
            except Exception:
                log.exception("the gateway could not look at what waits")

    def _look(self, now_s: float) -> None:
        if self._taking is not None and now_s - self._heard_s > SILENT_S:
            self._disconnect(TimeoutError("Redis does not answer"))
        for ask in list(self._asks.values()):
            if ask.future.done():  # cancelled
                self._fail(ask, Gone())
            elif now_s >= ask.deadline_s:
                ask.line.late += 1
                waited = f"{now_s - ask.sent_s:.1f} s"
                self._fail(ask, Problem(504, f"{ask.line.target} gave no answer within {waited}, the deadline"))
            elif ask.line.ended_s is not None and now_s - ask.line.ended_s > ENDED_S:
                self._fail(ask, Problem(404, f"{ask.line.target} was stopped (cluster services stop) and not answered"))
            elif ask.is_gone is not None and ask.is_gone():
                self._fail(ask, Gone())
            elif not ask.resent and now_s - ask.sent_s > ask.line.resend_s:
                if ask.id < ask.line.newest_answered or ask.line.queued == 0:
                    self._resend(ask)
                else:
                    self._doubtful.add(ask.line)
        doubtful, self._doubtful = self._doubtful, set()
        if self._requests is not None:
            for line in doubtful:
                self._requests.send(pack((b"LLEN", line.key)), line.see_length)
            if now_s - self._clock_s > CLOCK_S:
                self._read_clock()
            if self.lines and now_s - self._told_s >= traffic.TELL_S:
                self._tell(now_s)

    def _tell(self, now_s: float) -> None:
        """Tell the cluster how many requests there are and how long they take."""
        self._told_s = now_s
        row = traffic.row(round(now_s * 1000 + self._ahead_ms), [line.tell(now_s) for line in self.lines.values()])
        told = pack((b"HSET", keys.TRAFFIC, self.gateway, row)) + pack((b"EXPIRE", keys.TRAFFIC, traffic.KEEP_S))
        if self._requests is not None:
            self._requests.send(told, self._see_reply, self._see_reply)

    def _resend(self, ask: Ask) -> None:
        """Send a request once more, in front: the replica that took it may be dead. The first answer counts."""
        ask.resent = True
        ask.line.resent += 1
        self._urgent.setdefault(ask.line, []).append(ask.message)
        self._flush_soon()

    # Redis

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            if self._taking is not None:
                await self._lost.wait()
            try:
                await self._connect()
                failures = 0
                log.info("the gateway is connected to Redis again")
            except Exception as error:
                if not isinstance(error, (redis.exceptions.RedisError, OSError)):
                    log.exception("the gateway could not connect to Redis; trying again")
                await asyncio.sleep(RECONNECT_S[min(failures, len(RECONNECT_S) - 1)])
                failures += 1

    async def _connect(self) -> None:
        self._requests = await Link.open(self._url, self.gateway, self._disconnect)
        try:
            self._taking = await Link.open(self._url, self.gateway, self._disconnect)
        except BaseException:
            self._disconnect(None)
            raise
        if self._requests is None:  # lost meanwhile
            self._disconnect(None)
            raise ConnectionError("Redis closed the connection")
        self._lost.clear()
        self._heard_s = self._loop.time()
        self._read_clock()
        self._taking.send(self._take, self._see_answers, self._see_more_answers)

    def _disconnect(self, error: Exception | None) -> None:
        """Redis is away: no request that waits can count on its answer."""
        links, self._requests, self._taking = (self._requests, self._taking), None, None
        if links == (None, None):
            return
        for link in links:
            if link is not None:
                link.close()
        if error is not None or self._asks:
            log.warning("the gateway lost Redis (%s); %d requests fail", error or "closed", len(self._asks))
        for ask in list(self._asks.values()):
            self._fail(ask, unavailable("the gateway lost its connection to the cluster's Redis; ask again"))
        self._outbox, self._urgent, self._large = {}, {}, []
        self._lost.set()

    def _read_clock(self) -> None:
        asked_s = self._clock_s = self._loop.time()

        def see(reply: Any) -> None:
            if isinstance(reply, Exception):
                self._see_reply(reply)
                return
            middle_s = (asked_s + self._loop.time()) / 2
            self._ahead_ms = int(reply[0]) * 1000 + int(reply[1]) / 1000 - middle_s * 1000

        if self._requests is not None:
            self._requests.send(pack((b"TIME",)), see)
