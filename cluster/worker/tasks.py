"""The two Celery tasks of a node: ``cluster.map`` does chunks, ``cluster.aggregate`` joins their parts.

``map_chunks``, ``aggregate`` and the functions for a process that was ended are plain: each gets a ``Node``, a message
and how it came. ``MapTask`` and ``AggregateTask`` only translate: a Celery request becomes such a call, and its answer
becomes a retry or the end of the message. A job is looked up when its run names it, so it need not have been installed
when the worker started.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import kombu.exceptions
import redis
from billiard import current_process
from billiard.pool import EX_RECYCLE
from celery import Task
from celery.exceptions import Ignore, Reject, TimeLimitExceeded
from pydantic import ValidationError

from cluster import catalog, errors, redis_outage
from cluster.blobs.measured import HUB
from cluster.ledger.records import Worker, as_reason
from cluster.ledger.row import Limits
from cluster.messaging import publish, transport
from cluster.names import Partial
from cluster.stores import Stores
from cluster.wire import AGGREGATE, MAP, AggregateMessage, MapMessage
from cluster.worker import aggregate_parts, identity, map_chunk, stay

if TYPE_CHECKING:
    from celery import Celery

    from cluster.ledger.records import Trigger
    from cluster.settings import Settings

Message = TypeVar("Message", MapMessage, AggregateMessage)
AWAY = (redis.RedisError, kombu.exceptions.OperationalError)
"""Errors of the two tasks where Redis is away or refuses."""
log = logging.getLogger(__name__)


class Delivery(NamedTuple):
    """How a message came."""

    capability: str
    """The capability whose queue the message came by."""
    worker: Worker
    """The worker that took the message."""
    in_chord: bool = False
    """Whether a chord counts it, whose body then joins."""


class Retry(NamedTuple):
    """Publish the message again after ``delay_s``, or ``message`` in its place."""

    delay_s: float
    message: MapMessage | None = None


class Node:
    """The tools that a process of a worker does its tasks with.

    Args:
        app: To publish with.
        config: The settings of this node.
        find: Gives a job by name and version, see ``catalog.find``.
    """

    def __init__(self, app: Celery, config: Settings, find: map_chunk.Find = catalog.find) -> None:
        self.app = app
        self.config = config
        self.find = find

    @functools.cached_property
    def stores(self) -> Stores:
        """The cluster's, connected on first use: each process of a pool has connections of its own."""
        return Stores.connect(self.config, meter=HUB)

    def limits(self, run: str) -> Limits:
        """The time limits of a run's messages, from its row: a message that another machine wrote may name others."""
        return self.stores.ledger.runs.policy(run).limits


def map_chunks(node: Node, message: MapMessage, came: Delivery) -> Retry | str:
    """Do the chunks of a message and commit their parts. Run twice, the first commit of a chunk wins.

    Returns:
        ``Retry`` for those that failed and have attempts left, or that are for other nodes; or how it ended, for the
        log. What fails in this function itself counts as a failed attempt at each of the chunks.

    Raises:
        redis.RedisError: Redis is away or refuses.
        kombu.exceptions.OperationalError: As above, while it was published to.
        errors.OtherProcess: Another process of this node can do it.
    """
    run = message.run

    def complete(batch: int, trigger: Trigger) -> None:
        if trigger == "ledger" or not came.in_chord:
            publish.start_aggregate(node.app, came.capability, run, Partial(0, batch), node.limits(run))

    try:
        slot = stay.Slot(node, message, came)
        ended = map_chunk.run(
            message, node.find, node.stores, node.config, came.worker, came.capability, complete, slot.stays
        )
        if slot.staying:
            ended = slot.go_on()
        if isinstance(ended, str):
            return ended
        for chunk in ended.apart:
            publish.publish_chunk(node.app, came.capability, run, chunk, node.limits(run))
    except (errors.OtherProcess, *AWAY):
        raise
    except Exception as error:
        # Ours, or a time limit that struck at a bad moment.
        log.exception("run %s, chunks %s", run, message.chunks, extra={"run": run})
        chunks_cut_short(node, message, "failed", as_reason(f"{type(error).__name__}: {error}"), came.worker)
        return Retry(map_chunk.ELSEWHERE_S)
    return Retry(ended.delay_s, MapMessage(run=run, chunks=list(ended.chunks)))


def chunks_cut_short(node: Node, message: MapMessage, how: str, why: str, worker: Worker) -> None:
    """The attempts at all chunks of a message have ended: ``how`` is "failed", "killed" or "lost".

    So has that at a chunk for which the slot stayed: it gets a message of its own.
    """
    run, ledger = message.run, node.stores.ledger
    for chunk in message.chunks:
        ledger.chunks.end_attempt(run, chunk, how, worker, why)
        if (stayed_for := ledger.rounds.stays_for(run, chunk)) is None:
            continue
        if ledger.chunks.end_attempt(run, stayed_for, how, worker, why) is not None:
            publish.publish_chunk(node.app, ledger.runs.requirement(run), run, stayed_for, node.limits(run))
        ledger.rounds.leave(run, chunk)


def chunks_timed_out(node: Node, message: MapMessage, why: str, worker: Worker) -> None:
    """The process that did the chunks was ended, as it could not be interrupted: their message is acknowledged.

    A chunk that was alone is gone on with item by item; where it has but one item left, it is given up. Of several it
    shows which one it was when each comes by itself, once the supervisor misses them.
    """
    run, ledger, chunk = message.run, node.stores.ledger, message.chunks[0]
    if len(message.chunks) > 1 or ledger.rounds.stays_for(run, chunk) is not None:
        chunks_cut_short(node, message, "killed", why, worker)
        return
    if (entry := ledger.chunks.entry(run, chunk)) is None:
        return
    over = ledger.chunks.items_over(run, chunk)
    ledger.chunks.release(run, worker, chunk)
    if map_chunk.give_up_item(run, chunk, node.stores, entry, over, why, worker):
        publish.publish_chunk(node.app, ledger.runs.requirement(run), run, chunk, node.limits(run))
    else:
        ended = map_chunk.dead_letter(run, chunk, node.stores, entry, why, worker)
        for batch in ended.complete:  # its chord does without a body, as a header failed
            publish.start_aggregate(node.app, ledger.runs.requirement(run), run, Partial(0, batch), node.limits(run))


def aggregate(node: Node, message: AggregateMessage, came: Delivery) -> Retry | str:
    """Join parts and commit what they give. Run twice, the first commit wins.

    Returns:
        ``Retry`` where it failed and has attempts left, or is for other nodes; or how it ended, for the log.

    Raises:
        redis.RedisError: Redis is away or refuses.
        kombu.exceptions.OperationalError: As above, while it was published to.
        errors.OtherProcess: Another process of this node can do it.
    """
    run, ledger = message.run, node.stores.ledger
    try:
        ended = aggregate_parts.run(message, node.find, node.stores, node.config, came.worker, came.capability)
    except (errors.OtherProcess, *AWAY):
        raise
    except Exception as error:
        reason = as_reason(f"joining parts failed: {type(error).__name__}: {error}")
        attempts = ledger.chunks.end_attempt(run, aggregate_parts.unit(message), "failed", came.worker, reason)
        if attempts is None:
            return "settled elsewhere"
        policy = ledger.runs.policy(run)
        if attempts.failed < policy.max_attempts:
            log.warning("run %s: %s; trying again", run, reason, extra={"run": run})
            return Retry(policy.delay_s(attempts.failed))
        log.exception("run %s: %s", run, reason, extra={"event": "failed", "run": run})
        ledger.runs.stop(run, "failed", reason)
        return "failed"
    if isinstance(ended, aggregate_parts.Rejected):
        return Retry(map_chunk.ELSEWHERE_S)
    if isinstance(ended, AggregateMessage):
        publish.start_aggregate(node.app, came.capability, run, Partial(ended.level, ended.number), node.limits(run))
        return "aggregated now"
    return ended


def aggregate_cut_short(node: Node, message: AggregateMessage, how: str, why: str, worker: Worker) -> None:
    """An attempt to join has ended: ``how`` is "failed", "killed" or "lost". The supervisor may find it missing."""
    node.stores.ledger.chunks.end_attempt(message.run, aggregate_parts.unit(message), how, worker, why)


def register(app: Celery, config: Settings) -> None:
    """Register the two tasks with ``app``. Only workers do the tasks; a publisher only names them."""
    node = Node(app, config)
    for task in (MapTask(), AggregateTask()):
        task.node = node
        app.register_task(task)


class _Task(Task, Generic[Message]):  # type: ignore[misc]
    """A task whose process may be ended from outside: the worker's main process then calls ``cut_short``."""

    abstract = True
    Request = "cluster.worker.request:GuardedRequest"
    max_retries = None
    node: Node
    kind: type[Message]

    def run(self, message: Any) -> None:
        """Do what the message asks for."""
        parsed = _parse(self.kind, message)
        try:
            ended = self.do(parsed, _delivery(self.request))
        except errors.OtherProcess as error:
            if not current_process().name.startswith("ForkPoolWorker"):  # in a pool of threads there is but one process
                raise again(self, map_chunk.ELSEWHERE_S) from error
            log.info("this process ends for another one: %s", error, extra={"event": "process-renewed"})
            os._exit(EX_RECYCLE)
        except AWAY as error:
            raise self._hand_back(error) from error
        if isinstance(ended, Retry):
            raise again(self, ended.delay_s, ended.message and ended.message.model_dump())
        log.debug("run %s, %s: %s", parsed.run, self.request.id, ended, extra={"run": parsed.run})

    def do(self, message: Message, came: Delivery) -> Retry | str:
        """Do it, without Celery."""
        raise NotImplementedError

    def cut_short(self, message: Any, how: str, why: str, worker: Worker) -> None:
        """Called in the worker's main process, after the one that did it was ended."""
        raise NotImplementedError

    def timed_out(self, message: Message, why: str, worker: Worker) -> None:
        """Called in the worker's main process, after that ended the one that did it, as it took too long."""
        raise NotImplementedError

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """See ``Task.on_failure``."""
        if isinstance(exc, TimeLimitExceeded):
            why = f"took longer than {exc.args[0]} s and could not be interrupted"
            worker = Worker(self.request.hostname or "", identity.incarnation())
            self.timed_out(self.kind.model_validate(args[0]), why, worker)

    def apply_async(self, *arguments: Any, **options: Any) -> Any:
        """See ``Task.apply_async``; a worker that ends does not wait for a Redis that is away."""
        with redis_outage.interruptible():
            return super().apply_async(*arguments, **options)

    def _hand_back(self, error: Exception) -> Exception:
        """Redis is away, or refuses: the message goes back to its queue; it comes again in a while."""
        log.error("the message goes back to its queue: %s", error, extra={"event": "handed-back"})
        back: Exception = Reject(str(error), requeue=True)
        if isinstance(error, redis.ResponseError):  # it answers, so it can also take the message for later
            back = again(self, map_chunk.ELSEWHERE_S)
        return back


class MapTask(_Task[MapMessage]):
    """``map_chunks`` as Celery calls it."""

    name = MAP
    kind = MapMessage

    def do(self, message: MapMessage, came: Delivery) -> Retry | str:
        """See ``map_chunks``."""
        return map_chunks(self.node, message, came)

    def cut_short(self, message: Any, how: str, why: str, worker: Worker) -> None:
        """See ``chunks_cut_short``."""
        chunks_cut_short(self.node, MapMessage.model_validate(message), how, why, worker)

    def timed_out(self, message: MapMessage, why: str, worker: Worker) -> None:
        """See ``chunks_timed_out``."""
        chunks_timed_out(self.node, message, why, worker)


class AggregateTask(_Task[AggregateMessage]):
    """``aggregate`` as Celery calls it."""

    name = AGGREGATE
    kind = AggregateMessage

    def do(self, message: AggregateMessage, came: Delivery) -> Retry | str:
        """See ``aggregate``."""
        return aggregate(self.node, message, came)

    def cut_short(self, message: Any, how: str, why: str, worker: Worker) -> None:
        """See ``aggregate_cut_short``."""
        aggregate_cut_short(self.node, AggregateMessage.model_validate(message), how, why, worker)

    def timed_out(self, message: AggregateMessage, why: str, worker: Worker) -> None:
        """End the attempt. The message is acknowledged by now; the supervisor finds the partial missing."""
        aggregate_cut_short(self.node, message, "killed", f"joining parts {why}", worker)


def again(task: Task, delay_s: float, message: Any = None) -> Exception:
    """Publish the message that a task works on once more, or another ``message`` in its place; raise what this gives.

    Its chord goes on counting it. ``delay_s`` is by Redis's clock, see ``delays``.
    """
    options = {} if message is None else {"args": (message,)}
    retry: Exception = task.retry(countdown=0, exc=None, throw=False, **{transport.DELAY: delay_s}, **options)
    return retry


def _delivery(request: Any) -> Delivery:
    worker = Worker(request.hostname, identity.incarnation())
    return Delivery(publish.capability_of(request), worker, publish.is_in_chord(request))


def _parse(kind: type[Message], message: Any) -> Message:
    """The message, checked. What is not one of ours is dropped with a line in the log."""
    try:
        return kind.model_validate(message)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        log.error("a message is rejected: %s: %s", where, problem["msg"], extra={"event": "rejected"})  # noqa: TRY400
        raise Ignore from None
