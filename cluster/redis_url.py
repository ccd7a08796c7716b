"""The URL of a Redis: read, shown without its passwords, told to kombu. One of Sentinel has several addresses."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

SENTINEL = "sentinel://"
REDIS_PORT = 6379
SENTINEL_PORT = 26379
SENTINEL_TIMEOUT_S = 3


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


def first_address(url: str) -> tuple[str, int]:
    """The host and port of a URL's Redis, or of the first of its sentinels."""
    said = urlsplit(url.split(";")[0])
    return said.hostname or "localhost", said.port or (SENTINEL_PORT if said.scheme == "sentinel" else REDIS_PORT)


def asking(found: Sentinels) -> dict[str, Any]:
    """How to connect to the sentinels themselves, for redis-py: one that does not answer is passed over."""
    return {
        "password": found.sentinel_password,
        "socket_connect_timeout": 1,
        "socket_timeout": SENTINEL_TIMEOUT_S,
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


def masked(url: str) -> str:
    """The URL without its passwords, for messages and logs."""
    url = re.sub(r"(password=)[^&]*", r"\1***", url)
    addresses = url.split(";") if url.startswith(SENTINEL) else [url]
    return ";".join(re.sub(r"://([^:@]*):.*@", r"://\1:***@", address) for address in addresses)
