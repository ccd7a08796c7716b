"""What a node does with one chunk. No Celery here: ``celery_tasks`` wraps it."""

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


def run(
    message: MapMessage, job: Job, stores: Stores, config: Settings, node: str, *, again: bool = False
) -> TryAgain | str:
    """Claim a chunk, fetch and verify its bytes, do it, commit its part.

    A chunk that raises is tried again, up to ``config.max_attempts`` starts in all, then set aside with
    the reason; one bad item never fails its neighbours. Run twice, the first commit wins.

    Args:
        message: Names the chunk.
        job: Whose message it was.
        stores: The ledger and the blobs.
        config: Limits of this node.
        node: Its name.
        again: Whether an earlier start is known to have failed, so that this one counts as another attempt.

    Returns:
        ``TryAgain``, or how it ended, for the log.

    Raises:
        redis.RedisError: Redis is away for longer than the client is patient.
    """
    claim = stores.ledger.claim(
        message.run, message.chunk, job.name, node, max_attempts=config.max_attempts, again=again
    )
    if claim.state == "exhausted":
        last = claim.last_claim.rpartition(" ")[2]
        reason = f"the chunk was started {claim.attempt} times and never ended, last on {last}"
        return _set_aside(message, stores, claim, reason, node)
    if claim.state != "claimed":
        return claim.state
    try:
        entry = ChunkEntry.unpack(claim.entry)
        part = _work(message, job, stores, entry, claim.options, last_attempt=claim.attempt >= config.max_attempts)
        packed = wire.pack(part.value, config.max_part_bytes)
        scope = keys.parts_scope(message.run, entry.window)
        placed = parts.place(stores.blobs, scope, packed, config.inline_part_bytes)
    except wire.BadMessage as error:  # will not get better
        return _set_aside(message, stores, claim, str(error), node)
    except redis.RedisError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a job raises is one failed attempt
        return _failed(message, stores, config, claim, error, node)
    # Names that are not of this chunk would count against others.
    failures = {name: _text(part.failures[name]) for name in entry.names if name in part.failures}
    state = stores.ledger.commit(message.run, message.chunk, placed, entry, failures, node)
    if state in ("settled now", "settled"):
        stores.blobs.drop(keys.input_scope(message.run, message.chunk))
    return state


def give_up(message: MapMessage, job: str, stores: Stores, reason: str, node: str) -> str:
    """Set a chunk aside whose process was ended from outside."""
    claim = stores.ledger.claim(message.run, message.chunk, job, node, max_attempts=0, again=True)
    if claim.state != "exhausted":
        return claim.state
    return _set_aside(message, stores, claim, reason, node)


def _work(
    message: MapMessage,
    job: Job,
    stores: Stores,
    entry: ChunkEntry,
    options: Mapping[str, Any],
    *,
    last_attempt: bool,
) -> Part[Any]:
    """Fetch, verify, do. Items whose bytes are wrong or gone are never used, and on the last attempt named.

    Raises:
        errors.BlobError: Bytes are wrong or gone, and there are attempts left: another node may have better luck.
    """
    scope = keys.input_scope(message.run, message.chunk)
    fetched = blobs.get(stores.blobs, scope, [Ref(*ref) for ref in entry.refs])
    chunk = []
    failures: dict[str, str] = {}
    for name, data, last in zip(entry.names, fetched, entry.last, strict=True):
        if isinstance(data, errors.BlobError):
            if not last_attempt:
                raise data
            failures[name] = str(data)
            log.error("run %s, chunk %s, %s: %s", message.run, message.chunk, name, data)
        else:
            chunk.append(Item(name, data, last=last))
    part = job.run_task(chunk, options)
    return Part(part.value, {**part.failures, **failures})


def _failed(
    message: MapMessage, stores: Stores, config: Settings, claim: Claim, error: Exception, node: str
) -> TryAgain | str:
    reason = _text(f"{type(error).__name__}: {error}")
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
        entry = ChunkEntry(names=[f"chunk {message.chunk}"], refs=[], last=[True], window=_window_of(message, stores))
    state = stores.ledger.set_aside(message.run, message.chunk, entry, reason, node)
    if state in ("settled now", "settled"):
        stores.blobs.drop(keys.input_scope(message.run, message.chunk))
    return f"set aside ({state})"


def _window_of(message: MapMessage, stores: Stores) -> int:
    """The window of a chunk whose entry cannot be read."""
    rows = stores.ledger.open_windows(message.run)
    return next((window for window, chunks in rows.items() if message.chunk in chunks), 0)


def _text(reason: object) -> str:
    """A reason as it can be stored and shown: short, and UTF-8."""
    return str(reason)[:MAX_REASON_CHARS].encode("utf-8", "backslashreplace").decode()
