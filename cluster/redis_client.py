"""The one place that connects to Redis, directly or through Sentinel: waiting for it, and what its errors mean."""

from __future__ import annotations

import functools
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import redis
from redis._parsers import Encoder
from redis._parsers.base import BaseParser
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.connection import HiredisRespSerializer, PythonRespSerializer, parse_url
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection

from cluster import errors, keys, redis_check

CONNECT_TIMEOUT_S = 3
SOCKET_TIMEOUT_S = 10
"""Without progress: for a piece of ``PIECE_BYTES`` to go out, for the next bytes of an answer to come. A URL may end in
``?socket_timeout=60`` where that is too short."""
PIECE_BYTES = 16 * 1024
BUFFERED_BYTES = 8 * 2**20
"""So much of what was sent may still be on its way, in the buffers of this machine and of those between."""
SLOWEST_BYTES_PER_S = 64 * 1024
"""Of what may still be on its way, so much is taken to arrive in a second."""
SLOW_WITHIN_S = 600.0
MOST_RESTARTS = 3
"""As often may Redis forget a script within one call of it."""
CHECK_TIMEOUT_S = 3
HEALTH_CHECK_S = 3
FULL_PAUSE_S = 0.5
QUIET_S = 5.0
SAFE_PASSWORD_CHARS = 16
LONG_S = 60.0
"""An outage that lasts longer may be for good, which is said once."""
INNER_CODE = re.compile(r"(?:: -|because of: )([A-Z]+)\b")
"""The code of a refusal within the message of another one: Redis 6 tells so of scripts, and each of transactions."""
UNAWARE_S = 1.0
STUCK_S = 3.0
SENTINEL = "sentinel://"
UNASKED = ("HELLO must be called", "NOAUTH", "Authentication required")
"""In the refusals of a Redis that was given no password and wants one."""
MOST_REASON_CHARS = 300
NO_ROOM = "max number of clients"
"""In the refusal of one more connection, which redis-py takes for a lost one."""
REDIS_PORT = 6379
SENTINEL_PORT = 26379


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
    """What this thread asks Redis just now."""

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


class Client(redis.Redis):
    """What ``connect`` gives."""

    def register_script(self, script: Any) -> Script:
        """A Lua script to call. It is sent once to each Redis that runs it."""
        return _Script(self, script)


class _Script(Script):
    """Sends itself again where redis-py's sends itself once: Redis may restart between that and the call."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        for _ in range(MOST_RESTARTS):
            with suppress(NoScriptError):
                return super().__call__(*arguments, **named)
        return super().__call__(*arguments, **named)


def connect(url: str, *, patient: bool = True, timeout_s: float | None = None, name: str | None = None) -> redis.Redis:
    """A client for ``url``; connects on first use, is safe to carry over a fork.

    Args:
        url: ``redis://``, ``rediss://``, or ``sentinel://`` as ``sentinels_of`` reads it.
        patient: Wait as long as Redis is away or refuses, and say so once (see ``Patience``); else fail at once.
        timeout_s: How long one command may take, and connecting at most; None: as the URL says, or
            ``SOCKET_TIMEOUT_S``.
        name: By which Redis knows its connections.
    """
    options: dict[str, Any] = {
        # Once again at once: a connection that was lost while nobody used it is noticed only when somebody does.
        "retry": Patience(outage(url)) if patient else Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        "socket_connect_timeout": min(CONNECT_TIMEOUT_S, timeout_s or CONNECT_TIMEOUT_S),
        "socket_timeout": timeout_s or SOCKET_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_S,
        "socket_keepalive": True,
        "client_name": name,
    }
    if not url.startswith(SENTINEL):
        plain = Client.from_url(url, **options)
        plain.connection_pool.connection_class = STEADY[plain.connection_pool.connection_class]
        if timeout_s is not None:  # what is in a URL wins over what is beside it
            plain.connection_pool.connection_kwargs["socket_timeout"] = timeout_s
        return plain
    found = sentinels_of(url)
    sentinel = Sentinel(found.addresses, sentinel_kwargs=asking(found))  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        found.master,
        redis_class=Client,
        connection_class=MasterConnection,
        username=found.username,
        password=found.password,
        db=found.db,
        **options,
    )
    return client


def check(url: str) -> None:
    """See that there is a Redis at ``url`` that lets us in and can serve a cluster (``redis_check``).

    Raises:
        errors.BrokerError: It is not so; the message says what to look at.
        errors.JobUnavailable: This process may open too few files.
    """
    redis_check.see_files(redis_check.FILES, "`cluster`")
    with translated(url), connect(url, patient=False, timeout_s=CHECK_TIMEOUT_S) as client:
        redis_check.see(client, masked(url))
    warn_of_password(url)


@functools.cache
def warn_of_password(url: str) -> None:
    """Say once in a process that a Redis which other machines reach has a password that can be guessed, or none."""
    if url.startswith(SENTINEL):
        found = sentinels_of(url)
        hosts, password = [host for host, _ in found.addresses], found.password
    else:
        said = parse_url(url)  # type: ignore[no-untyped-call]
        hosts, password = [said.get("host", "localhost")], said.get("password")
        if "ssl_certfile" in said:  # that is its key
            return
    if len(password or "") < SAFE_PASSWORD_CHARS and not all(map(_is_written_as_loopback, hosts)):
        short = f"a password of fewer than {SAFE_PASSWORD_CHARS} characters: anyone who guesses it"
        log.warning(
            "Redis at %s has %s can run work on your machines (`openssl rand -hex 16` makes a password)",
            masked(url), short if password else "no password: anyone who reaches it", extra={"event": "weak-password"},
        )  # fmt: skip


def _is_written_as_loopback(host: str) -> bool:
    """Whether a URL says so itself: no name is looked up for this."""
    return host in ("localhost", "::1") or host.startswith("127.")


def memory(client: redis.Redis) -> tuple[int, int | None]:
    """(bytes in use, bytes it may use) of a Redis; None where it has no ``maxmemory``.

    In use is what Redis itself compares with its limit: without the buffers of replicas and of the append-only file.
    """
    found = client.info("memory")
    return _used(found), int(found["maxmemory"]) or None


def room(client: redis.Redis, share: float) -> float:
    """How many bytes may be added until a Redis uses this share of what it may use, below 0 if it uses more already.

    Without a ``maxmemory`` it may use all memory of its machine.
    """
    found = client.info("memory")
    limit = int(found["maxmemory"]) or int(found.get("total_system_memory", 0)) or math.inf
    return limit * share - _used(found)


def _used(found: Mapping[str, Any]) -> int:
    return int(found["used_memory"]) - int(found.get("mem_not_counted_for_evict", 0))


def is_full(client: redis.Redis) -> bool:
    """Whether Redis refuses what needs memory."""
    used, limit = memory(client)
    return limit is not None and used > limit


def refusal(client: redis.Redis) -> Exception | None:
    """Why a Redis that answers takes no writes now; None if it does.

    After a refusal its connections are closed: behind its name may be another Redis by now.
    """
    try:
        client.set(keys.WRITABLE, "", px=1000)
    except REFUSES as error:
        client.connection_pool.disconnect()
        return error
    return None


def number(found: Any) -> int:
    """A counter as it stands in Redis; 0 where there is none, or somebody has written something else there."""
    try:
        return int(found or 0)
    except ValueError:
        return 0


class Outage:
    """What this process knows of one Redis that does not answer or refuses; says in the log when that begins and ends.

    Many wait for the same Redis, in threads and one call within another: together they say it once.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._began: float | None = None
        self._refused_at = self._back_at = 0.0
        self._refuses = self._said_long = False
        self._timed_out_at: float | None = None
        self._lock = threading.Lock()
        self.on_wait: Callable[[], object] = lambda: None
        """Called before each pause. Whoever has another reason to stop waiting raises it there."""

    @property
    def is_on(self) -> bool:
        """Whether Redis is away or refuses, as far as this process knows."""
        return self._began is not None

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
        """What helps where Redis is there and comes too late again and again."""
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
    """What an outage that begins with this error is, and that it is waited for."""
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
    """What this process knows of the Redis at ``url``."""
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
    """What it gives; what a script or a transaction was refused is told as for any command."""
    try:
        return do()
    except redis.ResponseError as error:
        found = INNER_CODE.search(str(error))
        kind = BaseParser.EXCEPTION_CLASSES.get(found[1]) if found else None
        if isinstance(kind, type) and issubclass(kind, REFUSES) and not isinstance(error, REFUSES):
            raise kind(str(error)) from error
        raise


def pause_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(2.0, 0.05 * 2.0 ** min(failures, 10))


class _Packer(HiredisRespSerializer):
    """Packs commands as redis-py does; but values of a hash, which may be large, are sent from where they lie.

    hiredis copies each, into fresh memory.
    """

    def __init__(self) -> None:
        self._large = PythonRespSerializer(PIECE_BYTES, Encoder("utf-8", "strict", decode_responses=False).encode)  # type: ignore[no-untyped-call]

    def pack(self, *arguments: Any) -> Any:
        """The command's bytes, in pieces."""
        packer: Any = self._large if arguments[0] == "HSET" else super()
        return packer.pack(*arguments)


class _Steady:
    """A connection on which a timeout bounds progress. redis-py's own bounds a whole value, however large it is."""

    _sent_bytes = 0
    _sending_s = 0.0
    _sock: Any
    socket_timeout: Any
    disconnect: Callable[[], None]

    def __init__(self, **options: Any) -> None:
        super().__init__(command_packer=_Packer(), **options)  # type: ignore[call-arg]

    def send_packed_command(self, command: Any, check_health: bool = True) -> Any:
        """Send, piece by piece."""
        return super().send_packed_command(self._pieces(command), check_health)  # type: ignore[misc]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read an answer. It may take until what was sent before it has arrived."""
        sock = self._sock
        if sock is None or self.socket_timeout is None or self._sent_bytes <= PIECE_BYTES:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        seen = max(0, self._sent_bytes - BUFFERED_BYTES) / max(self._sending_s, 0.001)
        sock.settimeout(self.socket_timeout + min(self._sent_bytes, BUFFERED_BYTES) / max(SLOWEST_BYTES_PER_S, seen))
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        finally:
            if self._sock is sock:
                sock.settimeout(self.socket_timeout)

    def can_read(self, *arguments: Any, **options: Any) -> bool:
        """Whether something has come that nobody asked for.

        A pool asks before it gives a connection out, with no retry around it. One that is found broken is closed: the
        command opens it again, and retries that.
        """
        try:
            return bool(super().can_read(*arguments, **options))  # type: ignore[misc]
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            self.disconnect()
            return False

    def _pieces(self, command: Any) -> Iterator[Any]:
        began_s = time.monotonic()
        self._sent_bytes = 0
        for item in [command.encode()] if isinstance(command, str) else command:
            view = memoryview(item)
            for at in range(0, len(view), PIECE_BYTES):
                piece = view[at : at + PIECE_BYTES]
                yield piece
                self._sent_bytes += len(piece)
                _asking.moved_at_s = time.monotonic()
        self._sending_s = time.monotonic() - began_s


class SteadyConnection(_Steady, redis.Connection):
    """See ``_Steady``."""


class SteadySSLConnection(_Steady, redis.SSLConnection):
    """See ``_Steady``."""


STEADY: Mapping[type, type] = {redis.Connection: SteadyConnection, redis.SSLConnection: SteadySSLConnection}


class MasterConnection(_Steady, SentinelManagedConnection):
    """Asks the sentinels each time it connects.

    redis-py (8.1) asks only when a connection is taken from its pool: the retries of a command that
    was under way go to where the master was.
    """

    def _connect(self) -> Any:
        self.host, self.port = self.connection_pool.get_master_address()
        return super()._connect()  # type: ignore[no-untyped-call]


class Sentinels(NamedTuple):
    """A ``sentinel://`` URL, read."""

    addresses: list[tuple[str, int]]
    username: str | None
    password: str | None
    db: int
    master: str
    sentinel_password: str | None


def sentinels_of(url: str) -> Sentinels:
    """Read ``sentinel://[user:password@]host[:port];sentinel://…/db?master=NAME[&sentinel_password=…]``.

    User and password are those of Redis, and may stand at the first address alone.

    Raises:
        ValueError: It has another form.
    """
    *_, last = parts = [urlsplit(part) for part in url.split(";")]
    if any(part.scheme != "sentinel" or not part.hostname for part in parts):
        raise ValueError("each address must be sentinel://[:password@]host[:port]")
    query = {name: values[-1] for name, values in parse_qs(last.query).items()}
    first = next((part for part in parts if part.password), parts[0])
    return Sentinels(
        addresses=[(str(part.hostname), part.port or SENTINEL_PORT) for part in parts],
        username=unquote(first.username) if first.username else None,
        password=unquote(first.password) if first.password else None,
        db=int(last.path.strip("/") or 0),
        master=query.get("master", "mymaster"),
        sentinel_password=query.get("sentinel_password"),
    )


def asking(found: Sentinels) -> dict[str, Any]:
    """How to connect to the sentinels themselves, for redis-py: one that does not answer is passed over."""
    return {
        "password": found.sentinel_password,
        "socket_connect_timeout": 1,
        "socket_timeout": CHECK_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }


class ForKombu(NamedTuple):
    """How Celery is told to connect as ``connect`` does."""

    url: str
    ssl: dict[str, Any] | None
    options: dict[str, Any]
    """Transport options."""


def for_kombu(url: str) -> ForKombu:
    """A broker's URL as kombu is to see it. By itself it would verify no certificate, and knows no timeouts in a URL.

    Those are for blobs in any case: kombu's commands are short, and it waits for them in a worker's event loop.

    Raises:
        ValueError: It has another form.
    """
    if url.startswith(SENTINEL):
        found = sentinels_of(url)
        # Kombu takes all but the addresses from whichever address it is at.
        credentials = f"{quote(found.username or '', '')}:{quote(found.password or '', '')}@" if found.password else ""
        plain = ";".join(f"{SENTINEL}{credentials}{_host(host)}:{port}/{found.db}" for host, port in found.addresses)
        return ForKombu(plain, None, {"master_name": found.master, "sentinel_kwargs": asking(found)})
    said = parse_url(url)  # type: ignore[no-untyped-call]
    scheme = url.partition("://")[0]
    words = [quote(said.get(name, ""), "") for name in ("username", "password")]
    place = f"{_host(said.get('host', 'localhost'))}:{said.get('port', REDIS_PORT)}/{said.get('db', 0)}"
    plain = f"{scheme}://{':'.join(words)}@{place}" if any(words) else f"{scheme}://{place}"
    ssl = {name: value for name, value in said.items() if name.startswith("ssl_")}
    return ForKombu(plain, {"ssl_cert_reqs": "required", **ssl} if scheme == "rediss" else None, {})


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn redis-py's errors into ours."""
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.AuthorizationError) as error:
        if any(words in str(error) for words in UNASKED):
            raise errors.BrokerRefused(
                f"Redis at {masked(url)} asks for a password: redis://:PASSWORD@host:port"
            ) from None
        raise errors.BrokerRefused(f"Redis at {masked(url)} refuses the user or password: {error}") from None
    except NoPermissionError as error:
        raise redis_check.denied(masked(url), error) from None
    except BusyLoadingError:
        raise errors.BrokerUnreachable(f"Redis at {masked(url)} is still loading its data; try again soon") from None
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        if NO_ROOM in str(error):
            raise errors.BrokerRefused(f"Redis at {masked(url)} has no connection left ({error})") from None
        raise errors.BrokerUnreachable(
            f"no Redis answers at {masked(url)} ({_short(str(error))}); check the address, and that it is started"
        ) from None
    except OutOfMemoryError:
        raise errors.BrokerRefused(f"Redis at {masked(url)} is full (its maxmemory)") from None
    except redis.ResponseError as error:
        raise errors.BrokerRefused(f"Redis at {masked(url)} refuses: {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise errors.BadSetting(f"the broker URL {masked(url)} cannot be used: {error}") from None


def _short(text: str) -> str:
    """Without what redis-py tells of its own objects."""
    return text.rstrip(".") if len(text) <= MOST_REASON_CHARS else f"{text[:MOST_REASON_CHARS]}…"


def masked(url: str) -> str:
    """The URL without its passwords, for messages and logs."""
    url = re.sub(r"(password=)[^&]*", r"\1***", url)
    addresses = url.split(";") if url.startswith(SENTINEL) else [url]
    return ";".join(re.sub(r"://([^:@]*):.*@", r"://\1:***@", address) for address in addresses)
