"""The lists that are Celery's queues in Redis: what is in them, and what nobody is to take any more."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from cluster import keys
from cluster.messaging import delays
from cluster.names import TaskId, Unit
from cluster.wire import run_of_message, task_id

if TYPE_CHECKING:
    from cluster.stores import Stores


def messages(stores: Stores, run: str, queue: str) -> set[str]:
    """The ids of all messages that are in the run's outbox, in the queue, delayed, or held by a node.

    A message may move from the outbox to the others, and between these, meanwhile; so the outbox is read first, and
    all but the nodes twice.
    """
    incarnations, outbox = stores.nodes.incarnations(), stores.ledger.runs.outbox(run)
    with stores.redis.pipeline(transaction=False) as pipe:
        pipe.zrange(keys.DELAYED, 0, -1)
        pipe.lrange(queue, 0, -1)
        for incarnation in incarnations:
            pipe.hvals(keys.unacked(incarnation.id))
        pipe.lrange(queue, 0, -1)
        pipe.zrange(keys.DELAYED, 0, -1)
        first, *rows, last = pipe.execute()
    rows += [outbox, delays.messages(first), delays.messages(last)]
    return {task_id(message) for row in rows for message in row}


def held(stores: Stores, run: str, incarnation: str) -> set[Unit]:
    """What the messages of a run are about that an incarnation of a node holds."""
    found = filter(None, (TaskId.parse(task_id(message)) for message in stores.nodes.held(incarnation)))
    return {unit for of_run, units in found if of_run == run for unit in units}


def unsend(stores: Stores, queue: str, runs: Collection[str]) -> None:
    """Take the messages of these runs out of a queue, and all that are delayed or in their outboxes.

    A node that got one first drops it.
    """
    take_back(stores, queue, runs)
    stores.ledger.runs.drop_outboxes(runs)


def take_back(stores: Stores, queue: str, runs: Collection[str]) -> None:
    """Take the messages of these runs out of a queue, and all that are delayed; those in their outboxes stay."""
    delays.drop(stores.redis, runs)
    waiting: Any = stores.redis.lrange(queue, 0, -1)
    with stores.redis.pipeline(transaction=False) as pipe:
        for message in waiting:
            if run_of_message(message) in runs:
                pipe.lrem(queue, 0, message)
        pipe.execute()


def sweep(stores: Stores, pattern: str) -> None:
    """Take out of the queues of a pattern the messages of runs that are over or gone: nobody may serve them."""
    for name in stores.redis.scan_iter(match=pattern, count=1000, _type="list"):
        waiting: Any = stores.redis.lrange(name, 0, -1)
        found = sorted({run for message in waiting if (run := run_of_message(message))})
        states = stores.ledger.runs.states(found)
        unsend(stores, name.decode(), {run for run, state in zip(found, states, strict=True) if state != "running"})
