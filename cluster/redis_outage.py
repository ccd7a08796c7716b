"""A Redis that is away or refuses: which errors pass by themselves, waiting for it, saying so once."""

from __future__ import annotations

import functools
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import redis
from redis._parsers.base import BaseParser
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError
from redis.retry import Retry

from cluster.redis_url import masked

SLOW_WITHIN_S = 600.0
FULL_PAUSE_S = 0.5
QUIET_S = 5.0
LONG_S = 60.0
"""An outage that lasts longer may be for good, which is said once."""
INNER_CODE = re.compile(r"(?:: -|because of: )([A-Z]+)\b")
"""The code of a refusal within the message of another one: Redis 6 tells so of scripts, and each of transactions."""
UNAWARE_S = 1.0
STUCK_S = 3.0
NO_ROOM = "max number of clients"
"""In the refusal of one more connection, which redis-py takes for a lost one."""


class WritesRefused(redis.ResponseError):
    """Redis takes no writes now: its disk is full, or it has fewer replicas than it is told to have."""


class Busy(redis.ResponseError):
    """Redis runs somebody's script, and does nothing else until that ends."""


class Unblocked(redis.ResponseError):
    """Redis ended a wait for messages or events, because it is becoming a replica."""


BaseParser.EXCEPTION_CLASSES.update(  # redis-py has no names for them
    {"MISCONF": WritesRefused, "NOREPLICAS": WritesRefused, "BUSY": Busy, "UNBLOCKED": Unblocked}
)
NO_WRITES = (OutOfMemoryError, WritesRefused, ReadOnlyError)
"""Redis answers, and refuses only what is to be written."""
REFUSES = (*NO_WRITES, Busy, Unblocked, BusyLoadingError, ClusterDownError, TryAgainError)
"""Redis answers that it cannot do this now. Each of them passes by itself."""
AWAY = (redis.ConnectionError, redis.TimeoutError, OSError, *REFUSES)
"""Errors that pass when Redis is back, or takes again what it refused."""
given_up = threading.Event()
"""This process was told to end: what it still does to end well must not wait for Redis."""


class GivenUp(redis.ConnectionError):
    """This process was told to wait no more for Redis."""


class _Asking(threading.local):
    """The state of this thread's calls to Redis."""

    depth = 0
    """Calls within each other."""
    failed = False
    moved_at_s = 0.0
    """When the outermost began, or bytes last went out; of a monotonic clock."""


_asking = _Asking()


@contextmanager
def interruptible() -> Iterator[None]:
    """Have ``give_up`` end what is asked of Redis in here."""
    if not _asking.depth:
        _asking.failed, _asking.moved_at_s = False, time.monotonic()
    _asking.depth += 1
    try:
        yield
    finally:
        _asking.depth -= 1


def note_progress() -> None:
    """Bytes went out: what this thread asks is on its way."""
    _asking.moved_at_s = time.monotonic()


def give_up(*_: object) -> None:
    """Wait no more for Redis: now, if this thread waits in vain, or else after a second failure. A signal handler.

    Raises:
        GivenUp: This thread waits after a failure, or has waited for ``STUCK_S`` for an answer.
    """
    given_up.set()
    if _asking.depth and (_asking.failed or time.monotonic() - _asking.moved_at_s > STUCK_S):
        raise GivenUp("Redis is away, and this process is told to end")


Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


class Outage:
    """An outage of one Redis as this process sees it; logs when it begins and when it ends.

    Many threads and nested calls wait for the same Redis: together they log it once.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._began: float | None = None
        self._refused_at = self._back_at = 0.0
        self._refuses = self._said_long = False
        self._timed_out_at: float | None = None
        self._lock = threading.Lock()
        self.on_wait: Callable[[], object] = lambda: None
        """Called before each pause. To stop waiting for another reason, raise an error in it."""

    @property
    def is_on(self) -> bool:
        """Whether Redis is away or refuses, as far as this process knows."""
        return self._began is not None

    @property
    def away_s(self) -> float:
        """Seconds for which Redis has not answered; 0 where it answers, if only to refuse."""
        return 0.0 if self._began is None or self._refuses else time.monotonic() - self._began

    def say_away(self, error: BaseException, *, asked_at: float = math.inf) -> None:
        """Redis does not answer, or refuses, what it was asked at that moment, by default just now."""
        with self._lock:
            if asked_at < self._back_at:  # it has come back meanwhile
                return
            self._refused_at = time.monotonic()
            self._refuses |= isinstance(error, (*NO_WRITES, Unblocked))
            if self._began is None:
                self._began = self._refused_at
                log.warning("Redis at %s %s%s", self._name, _told(error), self._hint(error))
            elif not self._refuses and not self._said_long and self._refused_at - self._began > LONG_S:
                self._said_long = True
                log.warning(
                    "Redis at %s has been away for %.0f s; still waiting. If it is gone for good, press Ctrl-C, set"
                    " CLUSTER_BROKER_URL to another one and begin again; a `cluster up` that ended comes back only if"
                    " it had --data DIR and is started with it again", self._name, self._refused_at - self._began,
                )  # fmt: skip

    def _hint(self, error: BaseException) -> str:
        """Return advice for a Redis that answers too late again and again; else ""."""
        if not isinstance(error, (redis.TimeoutError, TimeoutError)):
            return ""
        before, self._timed_out_at = self._timed_out_at, time.monotonic()
        if before is None or self._timed_out_at - before > SLOW_WITHIN_S:
            return ""
        return (
            f", again after {self._timed_out_at - before:.0f} s. If the network is slow, let the broker URL end in"
            " ?socket_timeout=60, or use fewer slots"
        )

    def tell_kombu(self, error: Exception, pause_s: float) -> None:
        """For kombu's retries. It does not pause where a connection can be had, as to a Redis that is full."""
        _asking.failed = True
        if given_up.is_set():
            raise error
        self.say_away(error)
        self.on_wait()
        if not pause_s:
            time.sleep(FULL_PAUSE_S)

    def say_back(self, *, asked_at: float | None = None, wrote: bool = False) -> None:
        """Redis answered what it was asked at that moment, by default just now.

        That does not mean that it has room, unless we ``wrote`` what it refused, or it has refused nobody for a while.
        Nor does it mean much within a moment of its going: some answers come from connections that do not know it yet.
        """
        if self._began is None or (asked_at is not None and asked_at < self._began + UNAWARE_S):
            return
        with self._lock:
            now = time.monotonic()
            if self._began is not None and (wrote or not self._refuses or now - self._refused_at > QUIET_S):
                what = "takes writes again" if self._refuses else "is back"
                log.warning("Redis at %s %s after %.0f s", self._name, what, now - self._began)
                self._began, self._back_at, self._refuses, self._said_long = None, now, False, False


def _told(error: BaseException) -> str:
    """Describe the outage that this error begins, and that the process waits for its end."""
    why = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, OutOfMemoryError):
        return "is full (its maxmemory); waiting until it has room"
    if isinstance(error, NO_WRITES):
        return f"takes no writes now ({why}); waiting"
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return f"refuses the user or password ({why}); waiting"
    if isinstance(error, (redis.ResponseError, *REFUSES)) or NO_ROOM in why:
        return f"refuses for now ({why}); waiting"
    return f"does not answer ({why}); waiting"


@functools.cache
def outage(url: str) -> Outage:
    """Return the one ``Outage`` of this process for the Redis at ``url``."""
    return Outage(masked(url).partition("?")[0])


class Patience(Retry):
    """Has redis-py try again for as long as Redis is away or refuses, more and more seldom, down to every two seconds.

    Waits no more once the process was told to end (``given_up``), and raises what it waits for. Interrupted by
    Ctrl-C it raises that; by an exception of a signal handler, as a task's time limit is, it raises Redis's error,
    for that is the cause: the job did not hang.
    """

    def __init__(self, news: Outage) -> None:
        super().__init__(NoBackoff(), retries=-1, supported_errors=AWAY)
        self._news = news

    def __deepcopy__(self, memo: Any) -> Self:
        """Each connection gets a copy; there is nothing to copy."""
        return self

    def call_with_retry(
        self,
        do: Callable[[], Answer],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Answer:
        """See ``Retry.call_with_retry``."""
        with interruptible():
            return self._answer(do, fail, is_retryable, with_failure_count)

    def _answer(
        self,
        do: Callable[[], Answer],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None,
        with_failure_count: bool,
    ) -> Answer:
        failures, cause = 0, None
        while True:
            asked_at = time.monotonic()
            try:
                if failures:
                    self._news.on_wait()
                    time.sleep(pause_s(failures))
                    asked_at = time.monotonic()
                answer = _asked(do)
            except self._supported_errors as error:
                if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
                    raise
                failures, cause = failures + 1, error
                _asking.failed = True
                fail(error, failures) if with_failure_count else fail(error)
                if is_retryable and not is_retryable(error):
                    raise
                hopeless = isinstance(error, GivenUp) or not isinstance(error, redis.ConnectionError)
                if given_up.is_set() and (failures > 1 or hopeless):
                    raise  # after one more try, as in ``connect``
                self._news.say_away(error, asked_at=asked_at)
            except (KeyboardInterrupt, SystemExit):
                if failures:
                    given_up.set()
                raise
            except Exception as interruption:
                if cause is None or isinstance(interruption, redis.RedisError):
                    raise
                raise cause from interruption
            else:
                # A frozen Redis takes connections, too; and to connect may find that one is there.
                if not getattr(do, "__qualname__", "").partition(".")[0].endswith("Connection"):
                    self._news.say_back(asked_at=None if failures else asked_at, wrote=isinstance(cause, NO_WRITES))
                return answer


def _asked(do: Callable[[], Answer]) -> Answer:
    """Call ``do``. A refusal inside a script or a transaction raises the same error as that of a plain command."""
    try:
        return do()
    except redis.ResponseError as error:
        found = INNER_CODE.search(str(error))
        kind = BaseParser.EXCEPTION_CLASSES.get(found[1]) if found else None
        if isinstance(kind, type) and issubclass(kind, REFUSES) and not isinstance(error, REFUSES):
            raise kind(str(error)) from error
        raise


def pause_s(failures: int) -> float:
    """Return the seconds to wait after ``failures`` failures in a row: 0.1 after one, doubled with each, at most 2."""
    return min(2.0, 0.05 * 2.0 ** min(failures, 10))
