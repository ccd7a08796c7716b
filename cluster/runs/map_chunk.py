"""What a node does with one chunk. No Celery here: the tasks in ``celery_app`` wrap it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import redis
from billiard.exceptions import SoftTimeLimitExceeded

from cluster import blobs, errors, keys, wire
from cluster.blobs import Ref
from cluster.job import Job
from cluster.runs import Stores, parts
from cluster.runs.ledger import Claim
from cluster.settings import Settings
from cluster.wire import ChunkEntry, MapMessage
from splitters import Item
from tasks import Part

MAX_RETRY_DELAY_S = 60.0
MAX_REASON_CHARS = 500
log = logging.getLogger(__name__)


class TryAgain(NamedTuple):
    """The chunk failed and has attempts left."""

    delay_s: float
    reason: str


def run(message: MapMessage, job: Job, stores: Stores, config: Settings, node: str) -> TryAgain | str:
    """Claim a chunk, fetch and verify its bytes, do it, commit its part.

    A chunk that raises is tried again, up to ``config.max_attempts`` starts in all, then set aside with
    the reason; one bad item never fails its neighbours. Run twice, the first commit wins.

    Returns:
        ``TryAgain``, or how it ended, for the log.

    Raises:
        redis.RedisError: Redis is away for longer than the client is patient; nothing was changed.
    """
    claim = stores.ledger.claim(message.run, message.chunk, node, config.max_attempts)
    if claim.state == "exhausted":
        last = claim.last_claim.rpartition(" ")[2]
        reason = f"the chunk was started {claim.attempt} times and never ended, last on {last}"
        return _set_aside(message, stores, claim, reason, node)
    if claim.state != "claimed":
        return claim.state
    try:
        entry = ChunkEntry.unpack(claim.entry)
        if claim.job != job.name:
            raise wire.BadMessage(f"the run is of job {claim.job!r}, the message of {job.name!r}")
        part = _work(message, job, stores, entry, claim.options)
        packed = wire.pack(part.value, config.max_part_bytes)
        failures = {str(name): str(reason)[:MAX_REASON_CHARS] for name, reason in part.failures.items()}
    except wire.BadMessage as error:  # will not get better
        return _set_aside(message, stores, claim, str(error), node)
    except redis.RedisError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a job raises is one failed attempt
        return _failed(message, stores, config, claim, error, node)
    scope = keys.parts_scope(message.run, message.window)
    placed = parts.place(stores.blobs, scope, packed, config.inline_part_bytes)
    state = stores.ledger.commit(message.run, message.chunk, message.window, placed, entry, failures, node)
    if state in ("settled now", "settled"):
        stores.blobs.drop(keys.input_scope(message.run, message.chunk))
    return state


def give_up(message: MapMessage, stores: Stores, reason: str, node: str) -> str:
    """Set a chunk aside whose process was ended from outside."""
    claim = stores.ledger.claim(message.run, message.chunk, node, max_attempts=0)
    if claim.state != "exhausted":
        return claim.state
    return _set_aside(message, stores, claim, reason, node)


def _work(message: MapMessage, job: Job, stores: Stores, entry: ChunkEntry, options: Mapping[str, Any]) -> Part[Any]:
    """Fetch, verify, do. Items whose bytes are wrong or gone are reported, never used."""
    scope = keys.input_scope(message.run, message.chunk)
    fetched = blobs.get(stores.blobs, scope, [Ref(*ref) for ref in entry.refs])
    chunk = []
    failures: dict[str, str] = {}
    for name, data, last in zip(entry.names, fetched, entry.last, strict=True):
        if isinstance(data, errors.BlobError):
            failures[name] = str(data)
            log.error("run %s, chunk %s, %s: %s", message.run, message.chunk, name, data)
        else:
            chunk.append(Item(name, data, last=last))
    part = job.run_task(chunk, options)
    return Part(part.value, {**part.failures, **failures})


def _failed(
    message: MapMessage, stores: Stores, config: Settings, claim: Claim, error: Exception, node: str
) -> TryAgain | str:
    reason = f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS]
    if isinstance(error, SoftTimeLimitExceeded):
        reason = "took longer than its time limit (CLUSTER_CHUNK_TIME_LIMIT_S where it was submitted)"
    log.warning(
        "run %s, chunk %s, attempt %s of %s on %s failed: %s",
        message.run, message.chunk, claim.attempt, config.max_attempts, node, reason,
    )  # fmt: skip
    if claim.attempt >= config.max_attempts:
        return _set_aside(message, stores, claim, reason, node)
    stores.ledger.count_retry(message.run)
    delay_s = min(MAX_RETRY_DELAY_S, config.retry_delay_s * 2.0 ** (claim.attempt - 1))
    return TryAgain(delay_s, reason)


def _set_aside(message: MapMessage, stores: Stores, claim: Claim, reason: str, node: str) -> str:
    log.error("run %s, chunk %s is set aside: %s", message.run, message.chunk, reason)
    try:
        entry = ChunkEntry.unpack(claim.entry)
    except wire.BadMessage:  # then the chunk itself is the one thing that can be named
        entry = ChunkEntry(names=[f"chunk {message.chunk}"], refs=[], last=[True])
    state = stores.ledger.set_aside(message.run, message.chunk, message.window, entry, reason, node)
    if state in ("settled now", "settled"):
        stores.blobs.drop(keys.input_scope(message.run, message.chunk))
    return f"set aside ({state})"
