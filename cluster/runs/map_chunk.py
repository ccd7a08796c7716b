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
from cluster.runs.ledger import MOST_KILLS, Attempts, Worker
from cluster.settings import Settings
from cluster.wire import ChunkEntry, MapMessage
from splitters import Item
from tasks import Part

MAX_RETRY_DELAY_S = 60.0
MAX_REASON_CHARS = 500
ELSEWHERE_S = 1.0
"""A second copy that came to the node of the first goes back, for another one, and may come again after so long."""
log = logging.getLogger(__name__)
_problems: dict[str, str] = {}


class TryAgain(NamedTuple):
    """The message is to come again: the chunk failed and has attempts left, or another node is to take it."""

    delay_s: float
    reason: str


def run(
    message: MapMessage, job: Job, stores: Stores, config: Settings, worker: Worker, label: str = ""
) -> TryAgain | str:  # fmt: skip
    """Claim a chunk, fetch and verify its bytes, do it, commit its part.

    A chunk that raises is tried again, up to ``config.max_attempts`` times in all, then set aside with
    the reason; so is one whose attempts ended in other ways too often (see ``ledger.claim``). One bad item never
    fails its neighbours. Run twice, the first commit wins.

    Args:
        message: Names the chunk.
        job: Whose message it was.
        stores: The ledger and the blobs.
        config: Limits of this node.
        worker: Who does it.
        label: By whose queue it came; a chunk of a run of another one is left alone.

    Returns:
        ``TryAgain``, or how it ended, for the log.

    Raises:
        redis.RedisError: Redis refuses, or is away for longer than the client is patient.
        errors.OtherProcess: This process cannot do it, another one of this node can.
    """
    claim = stores.ledger.claim(
        message.run, message.chunk, job.name, job.version, worker, max_attempts=config.max_attempts, label=label
    )
    if claim.state == "exhausted":
        return set_aside(message, stores, claim.entry, _exhausted(claim.attempts), worker)
    if claim.why:
        log.warning(
            "run %s is refused: this node %s", message.run, claim.why, extra={"event": "refused", "run": message.run}
        )
    if claim.state == "elsewhere":
        return TryAgain(ELSEWHERE_S, claim.state)
    if claim.state != "claimed":
        return claim.state
    if not job.bundles and (problem := _unfit(job, job.label_with(claim.options))):
        stores.ledger.refuse(message.run, message.chunk, worker, _text(problem))
        return TryAgain(ELSEWHERE_S, problem)
    try:
        options = stores.models.options(job, claim.options)
    except errors.OtherProcess:
        stores.ledger.let_go(message.run, str(message.chunk))
        raise
    except (errors.NotInstalled, OSError) as error:  # the fault of this machine, and of no chunk
        stores.ledger.refuse(message.run, message.chunk, worker, _text(str(error)))
        return TryAgain(ELSEWHERE_S, str(error))
    except (errors.ClusterError, ValueError) as error:
        return _failed(message, stores, config, claim.entry, error, worker)
    last_attempt = claim.attempts.failed + 1 >= config.max_attempts
    try:
        entry = ChunkEntry.unpack(claim.entry)
        part = _work(message, job, stores, entry, options, last_attempt=last_attempt)
        packed = wire.pack(part.value, config.max_part_bytes)
        scope = keys.parts_scope(message.run, entry.window)
        placed = parts.place(stores.blobs, scope, packed, config.inline_part_bytes)
    except wire.BadMessage as error:  # will not get better
        return set_aside(message, stores, claim.entry, str(error), worker)
    except redis.RedisError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a job raises is one failed attempt
        return _failed(message, stores, config, claim.entry, error, worker)
    # Names that are not of this chunk would count against others.
    failures = {name: _text(part.failures[name]) for name in entry.names if name in part.failures}
    state = stores.ledger.commit(message.run, message.chunk, placed, entry, failures, worker)
    if state in ("settled now", "settled"):
        stores.blobs.drop(keys.input_scope(message.run, message.chunk))
    return state


def set_aside(message: MapMessage, stores: Stores, entry: bytes, reason: str, worker: Worker) -> str:
    """Give a chunk up: its items are missing from the result, for this reason."""
    log.error(
        "run %s, chunk %s is set aside: %s", message.run, message.chunk, reason,
        extra={"event": "set-aside", "run": message.run, "chunk": message.chunk},
    )  # fmt: skip
    try:
        unpacked = ChunkEntry.unpack(entry)
    except wire.BadMessage:  # then the chunk itself is the one thing that can be named
        window = _window_of(message, stores)
        unpacked = ChunkEntry(names=[f"chunk {message.chunk}"], refs=[], last=[True], window=window)
    state = stores.ledger.set_aside(message.run, message.chunk, unpacked, reason, worker)
    if state in ("settled now", "settled"):
        stores.blobs.drop(keys.input_scope(message.run, message.chunk))
    return f"set aside ({state})"


def _unfit(job: Job, label: str) -> str:
    """Why this machine cannot do a chunk that should not have come here, or "". Found out once in a process."""
    if label != job.label and label not in _problems:
        _problems[label] = job.why_unavailable(job.needs_of(label))
    return _problems.get(label, "")


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
            log.error(
                "run %s, chunk %s, %s: %s", message.run, message.chunk, name, data,
                extra={"event": "blob-wrong", "run": message.run, "chunk": message.chunk},
            )  # fmt: skip
        else:
            chunk.append(Item(name, data, last=last))
    part = job.run_task(chunk, options)
    return Part(part.value, {**part.failures, **failures})


def _failed(
    message: MapMessage, stores: Stores, config: Settings, entry: bytes, error: Exception, worker: Worker
) -> TryAgain | str:
    reason = _text(f"{type(error).__name__}: {error}")
    if isinstance(error, SoftTimeLimitExceeded):
        reason = "took longer than its time limit (CLUSTER_CHUNK_TIME_LIMIT_S where it was submitted)"
    attempts = stores.ledger.end_attempt(message.run, str(message.chunk), "failed", worker, reason)
    if attempts is None:
        return "settled elsewhere"
    log.warning(
        "run %s, chunk %s, attempt %s of %s on %s failed: %s",
        message.run, message.chunk, attempts.failed, config.max_attempts, worker.node, reason,
        extra={"event": "failed", "run": message.run, "chunk": message.chunk},
    )  # fmt: skip
    if attempts.failed >= config.max_attempts:
        return set_aside(message, stores, entry, reason, worker)
    delay_s = min(MAX_RETRY_DELAY_S, config.retry_delay_s * 2.0 ** max(0, attempts.failed - 1))
    return TryAgain(delay_s, reason)


def _exhausted(attempts: Attempts) -> str:
    if attempts.killed >= MOST_KILLS:
        return f"its process was ended {attempts.killed} times, most likely because memory ran out"
    if attempts.lost:
        return f"the node that worked on it was lost, or handed it back, {attempts.lost} times"
    return f"it failed {attempts.failed} times"


def _window_of(message: MapMessage, stores: Stores) -> int:
    """The window of a chunk whose entry cannot be read."""
    rows = stores.ledger.open_windows(message.run)
    return next((window for window, chunks in rows.items() if message.chunk in chunks), 0)


def _text(reason: object) -> str:
    """A reason as it can be stored and shown: short, and UTF-8."""
    return str(reason)[:MAX_REASON_CHARS].encode("utf-8", "backslashreplace").decode()
