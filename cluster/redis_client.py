"""The one place that connects to Redis, directly or through Sentinel, and says what its errors mean."""

from __future__ import annotations

import functools
import logging
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.connection import parse_url
from redis.exceptions import BusyLoadingError, NoPermissionError, NoScriptError, OutOfMemoryError
from redis.retry import Retry
from redis.sentinel import Sentinel

from cluster import errors, keys, redis_check
from cluster.redis_connection import STEADY, MasterConnection
from cluster.redis_outage import NO_ROOM, REFUSES, Patience, outage
from cluster.redis_url import SENTINEL, asking, masked, sentinels_of

CONNECT_TIMEOUT_S = 3
SOCKET_TIMEOUT_S = 10
"""Seconds without progress: to send a piece of ``PIECE_BYTES``, or to get the next bytes of an answer. A URL may end in
``?socket_timeout=60`` where that is too short."""
MOST_RESTARTS = 3
"""Times that Redis may forget a script during one call of it."""
CHECK_TIMEOUT_S = 3
HEALTH_CHECK_S = 3
SAFE_PASSWORD_CHARS = 16
UNASKED = ("HELLO must be called", "NOAUTH", "Authentication required")
"""In the refusals of a Redis that was given no password and wants one."""
MOST_REASON_CHARS = 300
CLIENT_NAME = re.compile(r" name=(\S+)")
log = logging.getLogger(__name__)


class Client(redis.Redis):
    """The client that ``connect`` returns; it sends each Lua script once to each Redis."""

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


def connected(client: redis.Redis) -> list[str]:
    """The names of a Redis's connections, as far as they have any.

    redis-py's ``client_list`` reads 30 fields of each connection: ten times as long, four times a second.

    Raises:
        redis.ResponseError: We may not ask.
    """
    told: Any = client.execute_command("CLIENT", "LIST")  # type: ignore[no-untyped-call]
    return CLIENT_NAME.findall(told.decode(errors="replace") if isinstance(told, bytes) else told)


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
    """Cut a message of redis-py to ``MOST_REASON_CHARS``."""
    return text.rstrip(".") if len(text) <= MOST_REASON_CHARS else f"{text[:MOST_REASON_CHARS]}…"
