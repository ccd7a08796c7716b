"""What a node does to join parts. No Celery here: ``celery_tasks`` wraps it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from cluster import keys, wire
from cluster.job import Job
from cluster.runs import FAN_IN, Stores, parts
from cluster.runs.records import Worker
from cluster.settings import Settings
from cluster.wire import FoldMessage

log = logging.getLogger(__name__)
MAX_FAMILY_BYTES = 8 * 2**20
"""Neighbouring folds that are larger together, packed, stay as they are: a result may be any number of
folds, and who joins it all at the end reads them one at a time."""


def name(message: FoldMessage) -> str:
    """What the ledger calls it where it stands beside chunks."""
    return f"fold {message.level}:{message.number}"


def run(
    message: FoldMessage, job: Job, stores: Stores, config: Settings, worker: Worker, busy_s: float | None = None
) -> FoldMessage | str:
    """Join the parts of a window, or a family of folds, and commit the fold in their place.

    Run twice, at once, or before all parts are there, it changes nothing. A fold whose attempts ended badly too
    often, or whose parts are gone, fails the run.

    Returns:
        The fold of the next level, where this one was the last of its family; else how it ended.
    """
    inputs = stores.ledger.fold_inputs(
        message.run,
        message.level,
        message.number,
        job.name,
        worker,
        max_attempts=config.max_attempts,
        busy_s=busy_s or config.chunk_s,
    )
    if inputs.state == "exhausted":
        return _fail(message, stores, f"joining parts was begun {sum(inputs.attempts)} times and never ended")
    if inputs.state == "lost":
        return _fail(message, stores, f"parts of window {message.number} are gone from Redis")
    if inputs.state != "ready":
        return inputs.state
    if message.level and sum(map(parts.size_bytes, inputs.entries.values())) > MAX_FAMILY_BYTES:
        return _leave(message, stores, worker)
    if any(entry != parts.NOTHING for entry in inputs.entries.values()):
        value = job.aggregate(_load(message, inputs.entries, stores, config))
        try:
            packed = wire.pack(value, config.max_part_bytes)
        except wire.BadMessage:
            if message.level:
                return _leave(message, stores, worker)
            raise
        scope = keys.fold_scope(message.run, message.level, message.number)
        entry = parts.place(stores.blobs, scope, packed, config.inline_bytes)
    else:
        entry = parts.NOTHING
    state = stores.ledger.commit_fold(message.run, message.level, message.number, inputs.entries, entry)
    if state in ("folded now", "family complete"):
        _drop_inputs(message, inputs.entries, stores)
    else:
        stores.ledger.let_go(message.run, worker, name(message))
    if state == "family complete":
        return FoldMessage(run=message.run, level=message.level + 1, number=message.number // FAN_IN)
    return state


def _leave(message: FoldMessage, stores: Stores, worker: Worker) -> str:
    stores.ledger.let_go(message.run, worker, name(message))
    return "large enough"


def _fail(message: FoldMessage, stores: Stores, reason: str) -> str:
    log.error("run %s fails: %s", message.run, reason, extra={"event": "failed", "run": message.run})
    stores.ledger.stop(message.run, "failed", reason)
    return "failed"


def _load(message: FoldMessage, entries: Mapping[str, bytes], stores: Stores, config: Settings) -> Iterator[Any]:
    for name, entry in entries.items():
        if entry != parts.NOTHING:
            yield parts.load(stores.blobs, _scope(message, name), entry, config.max_part_bytes)


def _drop_inputs(message: FoldMessage, entries: Mapping[str, bytes], stores: Stores) -> None:
    for scope in {_scope(message, name) for name, entry in entries.items() if entry[:1] == parts.BLOB}:
        stores.blobs.drop(scope)


def _scope(message: FoldMessage, name: str) -> str:
    """Where the large parts among a fold's inputs lie."""
    if message.level == 0:
        return keys.parts_scope(message.run, message.number)
    level, _, number = name.partition(":")
    return keys.fold_scope(message.run, int(level), int(number))
