"""Join the parts of a batch on a node. Imports no Celery: ``worker.tasks`` wraps this module."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import redis
from billiard.exceptions import SoftTimeLimitExceeded

from cluster import errors, keys, wire
from cluster.job import Job
from cluster.ledger import parts
from cluster.ledger.records import FAN_IN, PartialInputs, Unusable, Worker, as_reason
from cluster.names import Partial
from cluster.settings import Settings
from cluster.stores import Stores
from cluster.wire import AggregateMessage, Expected
from cluster.worker.map_chunk import Find, over_time_limit, reject

log = logging.getLogger(__name__)
NOTHING = object()
MAX_FAMILY_BYTES = 8 * 2**20
"""Neighbouring partials that are larger together, packed, stay as they are: a result may be any number of
partials, and the client that joins them at the end reads one at a time."""


class Rejected(NamedTuple):
    """The message is for another node."""

    why: str


def unit(message: AggregateMessage) -> Partial:
    """Return the partial that the message names."""
    return Partial(message.level, message.number)


def run(
    message: AggregateMessage, find: Find, stores: Stores, config: Settings, worker: Worker, capability: str = ""
) -> AggregateMessage | Rejected | str:
    """Join the parts of a batch, or a family of partials, and commit the partial in their place.

    Run twice, at once, or before all parts are there, it changes nothing. A partial whose attempts ended badly too
    often, or whose parts are gone, fails the run. A part of a batch that is not what the job gives of that chunk, or
    has more bytes than it may have, is left out, and the chunk's items are missing.

    Returns:
        The message for the next level, where this partial was the last of its family; ``Rejected`` where this machine
        cannot do the run's job; else how it ended.

    Raises:
        errors.OtherProcess: This process cannot do it, another one of this node can.
    """
    inputs = stores.ledger.partials.inputs(message.run, message.level, message.number, worker, capability)
    if inputs.state == "exhausted":
        return _fail(message, stores, f"joining parts was begun {sum(inputs.attempts)} times and never ended")
    if inputs.state == "lost":
        return _fail(message, stores, f"parts of batch {message.number} are gone from Redis")
    if inputs.state != "ready":
        return inputs.state
    if message.level and _family_bytes(inputs.entries) > MAX_FAMILY_BYTES:
        return _leave(message, stores, worker)
    if why := over_time_limit(config, inputs.policy):
        return _reject(message, stores, worker, why)
    try:
        job = find(inputs.job, inputs.version)
        # Fetched only for an aggregator that takes it.
        options = stores.models.options(job, inputs.options) if job.aggregates_with_model else inputs.options
    except errors.OtherProcess:
        stores.ledger.chunks.release(message.run, worker, unit(message))
        raise
    except errors.JobUnavailable as error:
        return _reject(message, stores, worker, str(error))
    joining = _Joining(message, job, options, stores, inputs)
    try:
        value = joining.join()
    except wire.BadMessage as error:
        if not message.level:
            raise
        # The client that reads the result gets the error; the batches in it are aggregated and cannot be done again.
        log.error("run %s, %s: a part cannot be joined: %s", message.run, unit(message), error)  # noqa: TRY400
        return _leave(message, stores, worker)
    entry = parts.NOTHING
    if value is not NOTHING:
        try:
            packed = wire.pack(value, inputs.policy.max_part_bytes)
        except wire.BadMessage:
            if message.level:
                return _leave(message, stores, worker)
            raise
        scope = keys.partial_scope(message.run, message.level, message.number)
        entry = parts.place(stores.blobs, scope, packed, inputs.policy)
    state = stores.ledger.partials.commit(
        message.run, message.level, message.number, inputs.entries, entry, joining.unusable.values()
    )
    if state in ("aggregated now", "family complete"):
        _drop_inputs(message, inputs.entries, stores)
    else:
        stores.ledger.chunks.release(message.run, worker, unit(message))
    if state == "family complete":
        return AggregateMessage(run=message.run, level=message.level + 1, number=message.number // FAN_IN)
    return state


def _family_bytes(entries: Mapping[str, bytes]) -> float:
    """Return the packed size of these partials together; infinite where one is no partial."""
    try:
        return sum(map(parts.size_bytes, entries.values()))
    except wire.BadMessage:
        return math.inf


def _leave(message: AggregateMessage, stores: Stores, worker: Worker) -> str:
    stores.ledger.chunks.release(message.run, worker, unit(message))
    return "large enough"


def _reject(message: AggregateMessage, stores: Stores, worker: Worker, why: str) -> Rejected:
    stores.ledger.chunks.release(message.run, worker, unit(message))
    reject(message.run, [], stores, worker, why)
    return Rejected(why)


def _fail(message: AggregateMessage, stores: Stores, reason: str) -> str:
    log.error("run %s fails: %s", message.run, reason, extra={"event": "failed", "run": message.run})
    stores.ledger.runs.stop(message.run, "failed", reason)
    return "failed"


class _Joining:
    """Joins the parts of a partial that can be used. Any member of the cluster may have made them, or forged them."""

    def __init__(
        self, message: AggregateMessage, job: Job, options: Mapping[str, Any], stores: Stores, inputs: PartialInputs,
    ) -> None:  # fmt: skip
        self._message = message
        self._job = job
        self._options = options
        self._stores = stores
        self._inputs = inputs
        self.unusable: dict[str, Unusable] = {}
        """Chunks of a batch whose parts are left out."""

    def join(self) -> Any:
        """All parts joined; ``NOTHING`` where there are none to join.

        Raises:
            wire.BadMessage: One of a partial's partials cannot be used, or all attempts to join them failed.
            errors.BlobError: Bytes are gone or wrong, and there are attempts left.
        """
        if all(entry == parts.NOTHING for entry in self._inputs.entries.values()):
            return NOTHING
        try:
            return self._aggregate(self._load())
        except (redis.RedisError, errors.BlobError, wire.BadMessage, SoftTimeLimitExceeded):
            raise
        except Exception as error:
            if self._message.level:
                if self._inputs.attempts.failed + 1 < self._inputs.policy.max_attempts:
                    raise
                raise wire.BadMessage(f"{type(error).__name__}: {error}") from error
            if not self._find_odd_ones():
                raise
        return self._aggregate(self._load())

    def _aggregate(self, values: Iterator[Any]) -> Any:
        return self._job.run_aggregate(values, self._options)

    def _load(self) -> Iterator[Any]:
        for name, entry in self._inputs.entries.items():
            if entry != parts.NOTHING and name not in self.unusable:
                try:
                    yield self._load_one(name, entry)
                except _Unusable as error:
                    self._leave_out(name, str(error))

    def _load_one(self, name: str, entry: bytes) -> Any:
        most, names = self._inputs.policy.max_part_bytes, None
        try:
            if not self._message.level:
                expected = Expected.unpack(self._inputs.expected[name])
                most, names = min(most, expected.part_bytes), set(expected.names)
            value = parts.load(self._stores.blobs, _scope(self._message, name), entry, most)
            self._job.check_part(value, names)
        except errors.BlobError as error:
            if self._message.level or self._inputs.attempts.failed + 1 < self._inputs.policy.max_attempts:
                raise
            raise _Unusable(str(error)) from None
        except ValueError as error:
            if self._message.level:
                raise wire.BadMessage(str(error)) from None
            raise _Unusable(str(error)) from None
        return value

    def _find_odd_ones(self) -> bool:
        """Leave out the parts of a batch that cannot even be joined alone; whether there are any."""
        found = False
        for name, entry in self._inputs.entries.items():
            if entry == parts.NOTHING or name in self.unusable:
                continue
            try:
                self._aggregate(iter([self._load_one(name, entry)]))
            except (redis.RedisError, errors.BlobError, SoftTimeLimitExceeded):
                raise
            except _Unusable as error:
                self._leave_out(name, str(error))
                found = True
            except Exception as error:  # noqa: BLE001 - whatever an aggregator raises of what it does not know
                self._leave_out(name, f"{type(error).__name__}: {error}")
                found = True
        return found

    def _leave_out(self, chunk: str, why: str) -> None:
        try:
            names: Sequence[str] = Expected.unpack(self._inputs.expected[chunk]).names
        except wire.BadMessage:  # then the chunk itself is the one thing that can be named
            names = [f"chunk {chunk}"]
        reason = as_reason(f"its part is not what the job {self._job.name} gives: {why}")
        log.error(
            "run %s, chunk %s is given up: %s", self._message.run, chunk, reason,
            extra={"event": "dead-lettered", "run": self._message.run, "chunk": chunk},
        )  # fmt: skip
        self.unusable[chunk] = Unusable(chunk, reason, names)


class _Unusable(ValueError):
    """Why the part of a chunk cannot be used."""


def _drop_inputs(message: AggregateMessage, entries: Mapping[str, bytes], stores: Stores) -> None:
    for scope in {_scope(message, name) for name, entry in entries.items() if entry[:1] == parts.BLOB}:
        stores.blobs.drop(scope)


def _scope(message: AggregateMessage, name: str) -> str:
    """Where the large parts among a partial's inputs lie."""
    if message.level == 0:
        return keys.parts_scope(message.run, message.number)
    return keys.partial_scope(message.run, *Partial.parse_field(name))
