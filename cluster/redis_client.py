"""The one place that talks to Redis besides Celery: connecting, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from cluster import errors

CONNECT_TIMEOUT_S = 5
SOCKET_TIMEOUT_S = 30
MINIMUM_VERSION = (6, 2)


def connect(
    url: str, *, patient: bool = True, timeout_s: float = SOCKET_TIMEOUT_S, name: str | None = None
) -> redis.Redis:
    """A client for ``url``; connects on first use, is safe to carry over a fork.

    Args:
        url: ``redis://`` or ``rediss://``.
        patient: Try again for about half a minute when the connection fails; else once.
        timeout_s: How long one command may take, and connecting at most.
        name: By which Redis knows its connections.
    """
    retry = Retry(ExponentialBackoff(cap=2, base=0.05), retries=20 if patient else 0)
    return redis.Redis.from_url(
        url,
        retry=retry,
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
        socket_connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s),
        socket_timeout=timeout_s,
        health_check_interval=15,
        socket_keepalive=True,
        client_name=name,
    )


def check(url: str) -> None:
    """See that there is a Redis at ``url`` that lets us in and is new enough.

    Raises:
        errors.BrokerUnreachable, errors.BrokerRefused: It is not so; the message says what to look at.
    """
    with translated(url), connect(url, patient=False) as client:
        version = str(client.info("server").get("redis_version", "0"))
    if tuple(int(number) for number in version.split(".")[:2]) < MINIMUM_VERSION:
        raise errors.BrokerRefused(f"Redis at {masked(url)} is version {version}; 6.2 or newer is needed")


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn redis-py's errors into ours."""
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.AuthorizationError) as error:
        raise errors.BrokerRefused(f"Redis at {masked(url)} refuses the user or password: {error}") from None
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise errors.BrokerUnreachable(
            f"no Redis answers at {masked(url)} ({str(error).rstrip('.')}); check the address, and that it is started"
        ) from None
    except redis.exceptions.OutOfMemoryError:
        raise errors.BrokerRefused(f"Redis at {masked(url)} is full (its maxmemory)") from None
    except redis.ResponseError as error:
        raise errors.BrokerRefused(f"Redis at {masked(url)} refuses: {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise errors.BadSetting(f"the broker URL {masked(url)} cannot be used: {error}") from None


def masked(url: str) -> str:
    """The URL without its password, for messages and logs."""
    return re.sub(r"://([^:@]*):.*@", r"://\1:***@", url)
