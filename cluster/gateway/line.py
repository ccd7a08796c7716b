"""The requests for one version of a service, as this gateway sees them: who waits, how fast answers come."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable

from cluster import keys
from cluster.gateway.link import pack
from cluster.gateway.problems import Problem
from cluster.names import Target
from cluster.services.messages import KEEP_S
from cluster.services.traffic import Row

FIRST_RESEND_S = 0.25
"""Until ``ENOUGH`` answers are known."""
LEAST_RESEND_S = 0.05
RESEND_TIMES = 3
ENOUGH = 20
RECENT = 256
"""Answers whose times say what is usual."""
RATE_TELLS = 6
"""The answers a second that are told are a mean since the fifth telling before."""
HALF_S = 5.0
"""Seconds with requests waiting after which an answer counts half as much for the rate."""
MOST_RETRY_S = 30
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Histogram:
    """Counts of values by bucket, as Prometheus has them, but not yet added up."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Line:
    """What waits for one target, and its numbers for admission, resending and metrics."""

    def __init__(self, target: Target, on_error: Callable[[object], None]) -> None:
        self.target = target
        self._on_error = on_error
        self.key = keys.requests(str(target)).encode()
        self.expire = pack((b"EXPIRE", self.key, KEEP_S))
        self.ended_s: float | None = None
        """Since when its service is gone; None while it is there."""
        self.waiting = 0
        """Requests of this gateway without an answer."""
        self.elsewhere = 0
        """Those of other gateways in the same list, as of the last write."""
        self.queued = 0
        """Length of the list at the last look."""
        self.newest_answered = 0
        """The latest request of this gateway that has an answer: what was sent before it was taken before it."""
        self.codes: Counter[int] = Counter()
        self.shadow: Counter[str] = Counter()
        """Of copies that were sent here: "same", "different", "missing", "skipped"."""
        self.latency_s = Histogram(BUCKETS_S)
        self.queue_s = Histogram(BUCKETS_S)
        self.batches = Histogram(BATCHES)
        self.resent = self.late = self.refused = 0
        self._recent_s: deque[float] = deque(maxlen=RECENT)
        self._resend_s = FIRST_RESEND_S
        self._stale = 0
        self._answers = 0.0
        self._busy_s = 0.0
        self._busy_since_s = 0.0
        self._told: deque[tuple[float, int]] = deque(maxlen=RATE_TELLS)

    def see_length(self, reply: object) -> None:
        """Redis says how many requests are in the list."""
        if isinstance(reply, int):
            self.queued = reply
            self.elsewhere = max(0, reply - self.waiting)
        else:
            self._on_error(reply)

    def enter(self, now_s: float) -> None:
        """One more waits."""
        if not self.waiting:
            self._busy_since_s = now_s
        self.waiting += 1

    def leave(self, now_s: float) -> None:
        """One waits no more."""
        self.waiting -= 1
        if not self.waiting:
            self._busy_s += now_s - self._busy_since_s

    def answered(self, took_s: float, worked_us: int) -> None:
        """An answer has come, of a batch that the replica worked on for so long."""
        self.latency_s.add(took_s)
        self.queue_s.add(max(0.0, took_s - worked_us / 1e6))
        self._recent_s.append(took_s)
        self._answers += 1
        self._stale += 1

    def rate(self, now_s: float) -> float:
        """Answers a second while requests were waiting; 0 as long as none is known."""
        busy_s = self._busy_s + (now_s - self._busy_since_s if self.waiting else 0.0)
        if busy_s > HALF_S:
            self._answers, self._busy_s = self._answers / 2, busy_s / 2
            self._busy_since_s, busy_s = now_s, self._busy_s
        return self._answers / busy_s if busy_s > 0 else 0.0

    def tell(self, now_s: float) -> Row:
        """What the cluster is told of this line; called once in ``traffic.TELL_S``."""
        answers = sum(self.latency_s.counts)
        self._told.append((now_s, answers))
        (since_s, before), ordered = self._told[0], sorted(self._recent_s)

        def quantile_ms(share: float) -> float | None:
            return round(1000 * ordered[math.ceil(len(ordered) * share) - 1], 3) if ordered else None

        return Row(
            service=self.target.service, version=self.target.version, answers=answers,
            per_s=round((answers - before) / (now_s - since_s), 2) if now_s > since_s else 0.0,
            failed=sum(count for code, count in self.codes.items() if code >= 500), late=self.late,
            refused=self.refused, waiting=max(0, self.waiting), p50_ms=quantile_ms(0.5), p95_ms=quantile_ms(0.95),
            p99_ms=quantile_ms(0.99),
        )  # fmt: skip

    @property
    def resend_s(self) -> float:
        """Seconds without an answer after which a request is sent once more."""
        if self._stale >= ENOUGH:
            self._stale = 0
            ordered = sorted(self._recent_s)
            self._resend_s = max(LEAST_RESEND_S, RESEND_TIMES * ordered[math.ceil(len(ordered) * 0.95) - 1])
        return self._resend_s

    def admit(self, count: int, limit: int, deadline_s: float, now_s: float) -> None:
        """See that so many more requests may wait here.

        Raises:
            Problem: Too many wait, or they would wait longer than the deadline (429).
        """
        there = self.waiting + self.elsewhere
        if not there:
            return
        rate = self.rate(now_s)
        wait_s = self.waiting / rate if rate else 0.0  # both of this gateway: the others have their share of the rate
        if there + count > limit:
            why = f"{there} requests wait for {self.target}, and {limit} may"
        elif wait_s > deadline_s:
            why = f"an answer of {self.target} would take {wait_s:.1f} s, longer than the deadline of {deadline_s:g} s"
        else:
            return
        self.refused += count
        raise Problem(429, f"{why}; ask again later", min(MOST_RETRY_S, max(1, math.ceil(wait_s))))
