"""The Celery tasks of a job: ``cluster.<job>`` does chunks, ``cluster.<job>.fold`` joins parts.

They only translate: a message becomes a call of ``map_chunk`` or ``fold``, its answer becomes a retry,
a next message or the end. Both are on the job's queue, which the nodes that can do the job consume.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import kombu.exceptions
import redis
from billiard import current_process
from billiard.pool import EX_RECYCLE
from celery import Celery, Task, chord
from celery.exceptions import Ignore, NotRegistered, Reject, Retry, TimeLimitExceeded
from pydantic import ValidationError

from cluster import broker, errors, keys, redis_client, runs
from cluster.names import Capability, Partial, TaskId, Unit
from cluster.nodes import identity
from cluster.runs import fold, map_chunk
from cluster.runs.records import Limits, Worker, as_reason
from cluster.wire import FoldMessage, MapMessage

if TYPE_CHECKING:
    from cluster.job import Job
    from cluster.settings import Settings

Message = TypeVar("Message", MapMessage, FoldMessage)
CutShort = Callable[[Any, str, str, Worker], None]
TimedOut = Callable[[Any, str, Worker], None]
log = logging.getLogger(__name__)


def routes(jobs: Iterable[Job]) -> dict[str, dict[str, str]]:
    """For Celery: which queue the tasks of each job use."""
    return {f"cluster.{job.name}{part}": {"queue": keys.queue(job.label)} for job in jobs for part in ("", ".fold")}


def add(app: Celery, job: Job, config: Settings) -> None:
    """Register the two tasks of ``job``."""
    stores = functools.cache(functools.partial(runs.connect, config))

    def chunks_timed_out(message: Any, reason: str, worker: Worker) -> None:
        parsed = MapMessage.model_validate(message)
        if len(parsed.chunks) > 1:  # which one it was shows when each comes by itself, once the supervisor misses them
            chunks_cut_short(message, "killed", reason, worker)
            return
        ledger, chunk = stores().ledger, parsed.chunks[0]
        if (entry := ledger.entry(parsed.run, chunk)) is None:
            return
        over = ledger.items_over(parsed.run, chunk)
        ledger.let_go(parsed.run, worker, chunk)
        if map_chunk.give_up_item(parsed.run, chunk, stores(), entry, over, reason, worker):
            publish_chunk(app, ledger.label(parsed.run), parsed.run, chunk, ledger.limits(parsed.run))
        else:
            ended = map_chunk.set_aside(parsed.run, chunk, stores(), entry, reason, worker)
            for window in ended.complete:  # its chord does without a body, as a header failed
                message = FoldMessage(run=parsed.run, level=0, number=window)
                publish_fold(app, ledger.label(parsed.run), message, ledger.limits(parsed.run))

    def chunks_cut_short(message: Any, how: str, why: str, worker: Worker) -> None:
        parsed = MapMessage.model_validate(message)
        for chunk in parsed.chunks:
            stores().ledger.end_attempt(parsed.run, chunk, how, worker, why)

    def fold_timed_out(message: Any, reason: str, worker: Worker) -> None:
        # Its message is acknowledged by now; the supervisor finds it missing.
        fold_cut_short(message, "killed", f"joining parts {reason}", worker)

    def fold_cut_short(message: Any, how: str, why: str, worker: Worker) -> None:
        parsed = FoldMessage.model_validate(message)
        stores().ledger.end_attempt(parsed.run, fold.unit(parsed), how, worker, why)

    @app.task(
        bind=True,
        shared=False,
        name=f"cluster.{job.name}",
        base=_guarded(chunks_cut_short, chunks_timed_out),
        max_retries=None,
    )
    def map_task(self: Task, message: Any) -> None:
        parsed = _parse(MapMessage, message)
        worker = Worker(self.request.hostname, identity.start())

        def fold_window(window: int) -> None:
            # A chord has its fold done itself; but it does not know of chunks that went out by themselves.
            if not self.request.chord:
                publish_fold(app, _label(self), FoldMessage(run=parsed.run, level=0, number=window), _limits(self))

        try:
            busy_s = _limit_s(self, config)
            ended = map_chunk.run(parsed, job, stores(), config, worker, _label(self), fold_window, busy_s)
            if isinstance(ended, map_chunk.TryAgain):
                for chunk in ended.apart:
                    publish_chunk(app, _label(self), parsed.run, chunk, _limits(self))
        except errors.OtherProcess as error:
            if not current_process().name.startswith("ForkPoolWorker"):  # in a pool of threads there is but one process
                raise again(self, config.retry_delay_s) from error
            log.info("this process ends for another one: %s", error, extra={"event": "process-renewed"})
            os._exit(EX_RECYCLE)
        except (redis.RedisError, kombu.exceptions.OperationalError) as error:
            raise _hand_back(self, config, error) from error
        except Exception as error:
            # Ours, or a time limit that struck at a bad moment.
            log.exception("run %s, chunks %s", parsed.run, _shown(parsed.chunks), extra={"run": parsed.run})
            chunks_cut_short(message, "failed", as_reason(f"{type(error).__name__}: {error}"), worker)
            raise again(self, config.retry_delay_s) from error
        if isinstance(ended, map_chunk.TryAgain):
            rest = MapMessage(run=parsed.run, chunks=list(ended.chunks)).model_dump()
            raise again(self, ended.delay_s, rest)
        log.debug("run %s, chunks %s: %s", parsed.run, _shown(parsed.chunks), ended, extra={"run": parsed.run})

    @app.task(
        bind=True,
        shared=False,
        name=f"cluster.{job.name}.fold",
        base=_guarded(fold_cut_short, fold_timed_out),
        max_retries=None,
    )
    def fold_task(self: Task, message: Any) -> None:
        parsed = _parse(FoldMessage, message)
        worker = Worker(self.request.hostname, identity.start())
        try:
            if why := map_chunk.over_time_limit(config, _limit_s(self, config)):
                stores().ledger.refuse(parsed.run, [], worker, why)
                raise again(self, map_chunk.ELSEWHERE_S)
            ended = fold.run(parsed, job, stores(), config, worker, _limit_s(self, config))
        except (redis.RedisError, kombu.exceptions.OperationalError) as error:
            raise _hand_back(self, config, error) from error
        except Retry:
            raise
        except Exception as error:
            reason = as_reason(f"joining parts failed: {type(error).__name__}: {error}")
            attempts = stores().ledger.end_attempt(parsed.run, fold.unit(parsed), "failed", worker, reason)
            if attempts is None:
                return
            if attempts.failed < config.max_attempts:
                log.warning("run %s: %s; trying again", parsed.run, reason, extra={"run": parsed.run})
                raise again(self, config.retry_delay_s) from error
            log.exception("run %s: %s", parsed.run, reason, extra={"event": "failed", "run": parsed.run})
            stores().ledger.stop(parsed.run, "failed", reason)
            return
        if isinstance(ended, FoldMessage):
            publish_fold(app, _label(self), ended, _limits(self))
            ended = "folded now"
        log.debug("run %s, %s: %s", parsed.run, fold.unit(parsed), ended, extra={"run": parsed.run})


def again(task: Task, delay_s: float, message: Any = None) -> Exception:
    """Publish the message that a task works on once more, or another ``message`` in its place; raise what this gives.

    Its chord goes on counting it. ``delay_s`` is by Redis's clock, see ``delays``.
    """
    options = {} if message is None else {"args": (message,)}
    retry: Exception = task.retry(countdown=0, exc=None, throw=False, **{broker.DELAY: delay_s}, **options)
    return retry


def _limit_s(task: Task, config: Settings) -> float:
    """The time limit of a message of this kind, with its grace: the submitter's, where it has one."""
    return float((task.request.timelimit or [None])[0] or config.chunk_s)


def publish_window(app: Celery, label: str, run: str, window: int, messages: Iterable[range]) -> None:
    """Publish a chord to those who serve ``label``: messages of these chunks, as its body the fold of their parts.

    The messages wait in the run's outbox, from where ``Lease.feed`` puts them into the queue.

    Raises:
        kombu.exceptions.OperationalError: Redis does not take it; some messages may have been sent.
    """
    to = keys.queue(label)
    task, body = _task(app, label), _task(app, label, ".fold")
    outbox = {broker.OUTBOX: [keys.run(run, "outbox"), app.cluster_settings.retention_s]}
    header = [
        task.s(MapMessage(run=run, chunks=list(together)).model_dump()).set(
            task_id=str(TaskId(run, tuple(together))), queue=to, **outbox
        )
        for together in messages
    ]
    message = FoldMessage(run=run, level=0, number=window)
    # Immutable: what the headers return is not needed, the ledger has the parts.
    chord(header, app=app)(body.si(message.model_dump()).set(task_id=str(TaskId(run, (Partial(0, window),))), queue=to))


def publish(app: Celery, label: str, run: str, unit: Unit, limits: Limits | None = None) -> None:
    """Publish a chunk or a fold again, with the run's time limits.

    Raises:
        celery.exceptions.NotRegistered: The job is not installed here.
    """
    if isinstance(unit, Partial):
        publish_fold(app, label, FoldMessage(run=run, level=unit.level, number=unit.number), limits)
    else:
        publish_chunk(app, label, run, unit, limits)


def publish_chunk(app: Celery, label: str, run: str, chunk: int, limits: Limits | None = None) -> None:
    """Publish one chunk again: its message is lost or slow, or has no time for it. It has waited, so it goes in front.

    It has the run's time limits.
    """
    message = MapMessage(run=run, chunks=[chunk])
    to = {"task_id": str(TaskId(run, (chunk,))), "queue": keys.queue(label), broker.FRONT: True}
    _task(app, label).apply_async((message.model_dump(),), **to, **_given(limits))


def publish_fold(app: Celery, label: str, message: FoldMessage, limits: Limits | None = None) -> None:
    """Publish the fold of a family of folds, or again that of a window; with the run's time limits."""
    to = {"task_id": str(TaskId(message.run, (fold.unit(message),))), "queue": keys.queue(label)}
    _task(app, label, ".fold").apply_async((message.model_dump(),), **to, **_given(limits))


def _given(limits: Limits | None) -> dict[str, int]:
    return limits._asdict() if limits else {}


def _limits(task: Task) -> Limits | None:
    """Those of the message that a task works on, for others of its run."""
    hard, soft = task.request.timelimit or (None, None)
    return Limits(soft, hard) if hard and soft else None


def _label(task: Task) -> str:
    """By whose queue the message came that a task works on."""
    queue = str(task.request.delivery_info["routing_key"])
    return keys.label_of(queue) or queue


def _task(app: Celery, label: str, part: str = "") -> Task:
    try:
        return app.tasks[f"cluster.{Capability.parse(label).job}{part}"]
    except ValueError:
        raise NotRegistered(label) from None


def _shown(chunks: Sequence[int]) -> str:
    return f"{chunks[0]}-{chunks[-1]}" if len(chunks) > 1 else str(chunks[0])


def _parse(kind: type[Message], message: Any) -> Message:
    """The message, checked. What is not one of ours is dropped with a line in the log."""
    try:
        return kind.model_validate(message)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        log.error("a message is refused: %s: %s", where, problem["msg"], extra={"event": "refused"})  # noqa: TRY400
        raise Ignore from None


def _hand_back(task: Task, config: Settings, error: Exception) -> Exception:
    """Redis is away, or refuses: the message goes back to its queue; it comes again in a while."""
    log.error("the message goes back to its queue: %s", error, extra={"event": "handed-back"})
    back: Exception = Reject(str(error), requeue=True)
    if isinstance(error, redis.ResponseError):  # it answers, so it can also take the message for later
        back = again(task, config.retry_delay_s)
    return back


def _guarded(cut_short: CutShort, timed_out: TimedOut) -> type[Task]:
    """A base for tasks whose process may be ended from outside: the worker's main process then calls one of these
    with the message, the reason, and who it was."""

    class Guarded(Task):  # type: ignore[misc]
        abstract = True
        Request = "cluster.runs.celery_request:GuardedRequest"

        def apply_async(self, *arguments: Any, **options: Any) -> Any:
            with redis_client.interruptible():
                return super().apply_async(*arguments, **options)

        def cut_short(self, message: Any, how: str, why: str, worker: Worker) -> None:
            cut_short(message, how, why, worker)

        def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            if isinstance(exc, TimeLimitExceeded):
                reason = f"took longer than {exc.args[0]} s and could not be interrupted"
                timed_out(args[0], reason, Worker(self.request.hostname or "", identity.start()))

    return Guarded
