"""A gateway without HTTP: sends requests to replicas and reads their answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import redis

from cluster import keys, names
from cluster.services import messages
from cluster.services.messages import Answer, Request


class PlayedGateway:
    """Sends each request once more, in front, where no answer has come for ``resend_s``; the first answer counts."""

    def __init__(self, client: redis.Redis, *, resend_s: float = 0.25, deadline_s: float = 20.0) -> None:
        self._redis = client
        self.id = names.new_gateway()
        self._resend_s, self._deadline_s = resend_s, deadline_s
        self._next = 0
        self._open: dict[int, tuple[str, bytes, float, bool]] = {}
        self._began: dict[int, float] = {}
        self.answers: dict[int, Answer] = {}
        self.seconds: dict[int, float] = {}
        self.sent_again = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._redis.delete(keys.answers(self.id))

    def send(self, target: str, *items: tuple[str, bytes] | Request, deadline_s: float | None = None) -> list[int]:
        """Send items, or requests of which only number, gateway and deadline are to be set; gives their numbers."""
        now: Any = self._redis.time()
        deadline_ms = int(now[0] * 1000 + now[1] // 1000 + 1000 * (deadline_s or self._deadline_s))
        raws, ids = [], []
        for one in items:
            asked = one if isinstance(one, Request) else Request(0, self.id, 0, "item", *one)
            asked = asked._replace(id=self._next, gateway=self.id, deadline_ms=deadline_ms)
            self._next += 1
            if asked.size_bytes > messages.INLINE_BYTES:
                self._redis.set(asked.payload_key, asked.payload, px=20_000)
                asked = asked.referring()
            raws.append(asked.pack())
            ids.append(asked.id)
            self._open[asked.id] = (target, raws[-1], time.monotonic(), False)
            self._began[asked.id] = time.monotonic()
        self._redis.rpush(keys.requests(target), *raws)
        return ids

    def look(self) -> None:
        """Read what has come, for a moment; send again what waits for too long."""
        first: Any = self._redis.brpop([keys.answers(self.id)], timeout=0.05)
        rest: Any = self._redis.lrange(keys.answers(self.id), 0, -1) if first else []
        if rest:
            for _ in rest:
                more: Any = self._redis.rpop(keys.answers(self.id))
                first = (*first, more)
        now = time.monotonic()
        for raw in (first or ())[1:]:
            for answer in messages.unpack_answers(raw):
                self.answers.setdefault(answer.id, answer)
                if self._open.pop(answer.id, None):
                    self.seconds[answer.id] = now - self._began[answer.id]
        for id_, (target, raw, sent_at, again) in list(self._open.items()):
            if not again and now - sent_at > self._resend_s:
                self._open[id_] = (target, raw, now, True)
                self.sent_again += 1
                self._redis.lpush(keys.requests(target), raw)

    def ask(self, target: str, *items: tuple[str, bytes] | Request, timeout_s: float = 20.0) -> list[Answer]:
        """Send and wait for all answers, in the order of the requests."""
        ids = self.send(target, *items)
        self.wait(ids, timeout_s)
        return [self.answers[id_] for id_ in ids]

    def wait(self, ids: Sequence[int], timeout_s: float = 20.0) -> None:
        """Wait until these are answered."""
        until = time.monotonic() + timeout_s
        while lacking := [id_ for id_ in ids if id_ not in self.answers]:
            assert time.monotonic() < until, f"no answer to {len(lacking)} of {len(ids)} within {timeout_s} s"
            self.look()
