"""What gateways tell of the requests that go through them: each writes its row once a second while it has any.

A program in Python that asks services is a gateway in this sense, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import orjson
import redis
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cluster import keys, names

TELL_S = 1.0
STALE_MS = 5000
"""A row that was not written again for this long counts no more: its gateway has ended."""
KEEP_S = 60
"""Seconds that the rows are kept after the last one was written."""
MOST_ROW_BYTES = 2**18


class Row(BaseModel):
    """The requests for one version of a service through one gateway."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    service: str
    version: int | None = Field(None, ge=1, lt=10**9)
    per_s: float = Field(ge=0, allow_inf_nan=False)
    """Answers a second in the last seconds."""
    answers: int = Field(ge=0)
    """Since the gateway began; so are the other counts."""
    failed: int = Field(0, ge=0)
    """Answers with a code of 500 or above."""
    late: int = Field(0, ge=0)
    refused: int = Field(0, ge=0)
    waiting: int = Field(0, ge=0)
    """Requests without an answer, now."""
    p50_ms: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Of the last 256 answers, half took at most this long from when the gateway sent the request."""
    p95_ms: float | None = Field(None, ge=0, allow_inf_nan=False)
    p99_ms: float | None = Field(None, ge=0, allow_inf_nan=False)


def row(at_ms: int, rows: Iterable[Row]) -> bytes:
    """What a gateway writes under its name in ``keys.TRAFFIC``; ``at_ms`` is by Redis's clock."""
    return orjson.dumps({"at_ms": at_ms, "rows": [one.model_dump() for one in rows]})


def read(client: redis.Redis) -> dict[str, list[Row]]:
    """Gateway -> what it tells. Rows that cannot be read are left out: anything may be written there."""
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hgetall(keys.TRAFFIC)
        (seconds, micros), rows = pipe.execute()
    now_ms = seconds * 1000 + micros // 1000
    found: dict[str, list[Row]] = {}
    gone = []
    for name, data in rows.items():
        with contextlib.suppress(ValueError, TypeError, LookupError, ValidationError, UnicodeDecodeError):
            told: Any = orjson.loads(data) if len(data) <= MOST_ROW_BYTES else {}
            gateway = name.decode()
            if names.is_gateway(gateway) and abs(now_ms - told["at_ms"]) <= STALE_MS:
                found[gateway] = [Row.model_validate(one) for one in told["rows"]]
                continue
        gone.append(name)
    if gone:
        client.hdel(keys.TRAFFIC, *gone)
    return found
