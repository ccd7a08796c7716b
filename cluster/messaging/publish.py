"""Publish the work of a run as Celery messages. No other file makes chords and groups; ``chord_backend`` counts them.

All messages are of two tasks, whatever the job: ``wire.MAP`` does chunks, ``wire.AGGREGATE`` joins their parts. The
message names the run and the chunks, and its queue is that of the run's requirement; the job stands in the run's row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celery import chord, group

from cluster import keys, names, redis_outage
from cluster.messaging import transport
from cluster.names import Capability, Partial, TaskId, Unit
from cluster.wire import AGGREGATE, MAP, AggregateMessage, MapMessage

if TYPE_CHECKING:
    from celery import Celery

    from cluster.ledger.records import Trigger
    from cluster.ledger.row import Limits, RunPolicy


def publish_batch(
    app: Celery, requirement: str, run: str, batch: int, messages: Iterable[range],
    policy: RunPolicy, trigger: Trigger = "chord",
) -> None:  # fmt: skip
    """Publish the chunks of a batch to the nodes that serve ``requirement``. Published twice, it does no harm.

    The messages wait in the run's outbox, from where ``Lease.feed`` puts them into the queue.

    Args:
        app: To publish with.
        requirement: That of the run.
        run: Its id.
        batch: The number of the batch, which is entered in the ledger.
        messages: The chunks of each message.
        policy: That of the run.
        trigger: As in the batch's row. ``chord``: the messages are the header of a chord, and its body joins their
            parts. ``ledger``: they are a group, and the node whose commit completes the batch starts to join.
            ``driver``: a group, too, whose parts no node joins.

    Raises:
        kombu.exceptions.OperationalError: Redis does not take it; some messages may have been sent.
    """
    outbox = {transport.OUTBOX: [keys.run(run, "outbox"), policy.retention_s]}
    options = {**_options(app, requirement, MAP, policy.limits), **outbox}
    header = [
        app.signature(
            MAP,
            args=(MapMessage(run=run, chunks=list(chunks)).model_dump(),),
            options={"task_id": str(TaskId(run, tuple(chunks))), **options},
        )
        for chunks in messages
    ]
    if trigger != "chord":
        group(header, app=app).apply_async()
        return
    partial = Partial(0, batch)
    body = app.signature(
        AGGREGATE,
        args=(_joining(run, partial).model_dump(),),
        options={"task_id": str(TaskId(run, (partial,))), **_options(app, requirement, AGGREGATE, policy.limits)},
        immutable=True,  # the ledger has the parts, a header returns nothing
    )
    chord(header, app=app)(body)


def is_in_chord(request: Any) -> bool:
    """Whether a message, by its Celery request, is in the header of a chord, whose body then joins."""
    return bool(request.chord)


def redeliver(app: Celery, requirement: str, run: str, unit: Unit, limits: Limits) -> None:
    """Publish a chunk, or what joins parts, by a message of its own: as ``publish_chunk`` or ``start_aggregate``."""
    if isinstance(unit, Partial):
        start_aggregate(app, requirement, run, unit, limits)
    else:
        publish_chunk(app, requirement, run, unit, limits)


def publish_chunk(app: Celery, requirement: str, run: str, chunk: int, limits: Limits) -> None:
    """Publish one chunk again: its message is lost or slow, or had no time for it. It has waited, so it goes in front.

    Args:
        app: To publish with.
        requirement: That of the run.
        run: Its id.
        chunk: Its index.
        limits: The time limits of the run.

    Raises:
        kombu.exceptions.OperationalError: Redis does not take it.
    """
    message = MapMessage(run=run, chunks=[chunk])
    _send(app, requirement, MAP, message, TaskId(run, (chunk,)), limits, **{transport.FRONT: True})


def start_aggregate(app: Celery, requirement: str, run: str, partial: Partial, limits: Limits) -> None:
    """Have a node join the parts of a batch, or a family of joined parts of the level below.

    Every start of joining is a message of this form:

    | started by                       | when                                                                       |
    | -------------------------------- | -------------------------------------------------------------------------- |
    | the body of the batch's chord    | its last header has ended (trigger ``chord``; Celery sends it)             |
    | a map task outside of a chord    | its commit completes the batch: trigger ``ledger``, or its chunk came by a |
    |                                  | message of its own, of which the chord does not know                       |
    | a worker's main process          | the last chunk of the batch is given up, as its process did not end in     |
    |                                  | time: a header failed, so the chord does without its body                  |
    | a run's supervisor               | the batch is complete, and no such message is anywhere: it is lost         |
    | the aggregate of the level below | it was the last of its family                                              |

    Started twice, or too early, it does no harm: the message carries no parts. ``partial_inputs.lua`` gives parts to a
    node only if all of them are there, no other node is joining them, and they are not joined yet.
    ``commit_partial.lua`` takes the first commit and drops any other.

    Args:
        app: To publish with.
        requirement: That of the run.
        run: Its id.
        partial: What is to be made; of level 0 it is the batch of that number.
        limits: The time limits of the run.

    Raises:
        kombu.exceptions.OperationalError: Redis does not take it.
    """
    _send(app, requirement, AGGREGATE, _joining(run, partial), TaskId(run, (partial,)), limits)


def shown_as(requirement: str, task: str) -> str:
    """Return the task's name in Flower, events and logs, after the job in the requirement: ``cluster.ocr``."""
    try:
        job = Capability.parse(names.plain(requirement)).job
    except ValueError:  # anything may stand in the run's row
        return task
    return names.shown_task(job, joins=task == AGGREGATE)


def capability_of(request: Any) -> str:
    """The capability by whose queue a message came, from its Celery request; of a queue that is not ours, its name."""
    queue = str(request.delivery_info["routing_key"])
    return keys.capability_of(queue) or queue


def _joining(run: str, partial: Partial) -> AggregateMessage:
    return AggregateMessage(run=run, level=partial.level, number=partial.number)


def _send(
    app: Celery, requirement: str, task: str, message: MapMessage | AggregateMessage, task_id: TaskId,
    limits: Limits, **more: Any,
) -> None:  # fmt: skip
    options = {**_options(app, requirement, task, limits), **more}
    with redis_outage.interruptible():
        app.send_task(task, (message.model_dump(),), task_id=str(task_id), **options)


def _options(app: Celery, requirement: str, task: str, limits: Limits) -> dict[str, Any]:
    """Where the messages of a run go, how long they may be worked on, and how people see them."""
    return {
        "queue": keys.queue(requirement),
        "shadow": shown_as(requirement, task),
        "time_limit": limits.time_limit,
        "soft_time_limit": limits.soft_time_limit,
        "ignore_result": True,
    }
