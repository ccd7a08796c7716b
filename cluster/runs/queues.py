"""Messages that nobody is to take any more, in the lists that are Celery's queues in Redis."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from cluster import keys
from cluster.runs import delays
from cluster.wire import run_of_message

if TYPE_CHECKING:
    import redis


def unsend(client: redis.Redis, queue: str, runs: Collection[str]) -> None:
    """Take the messages of these runs out of a queue, and all that are delayed or in their outboxes.

    A node that got one first drops it.
    """
    delays.drop(client, runs)
    waiting: Any = client.lrange(queue, 0, -1)
    with client.pipeline(transaction=False) as pipe:
        for run in runs:
            pipe.unlink(keys.run(run, "outbox"))
        for message in waiting:
            if run_of_message(message) in runs:
                pipe.lrem(queue, 0, message)
        pipe.execute()


def sweep(client: redis.Redis, pattern: str) -> None:
    """Take out of the queues of a pattern the messages of runs that are over or gone: nobody may serve them."""
    for name in client.scan_iter(match=pattern, count=1000, _type="list"):
        waiting: Any = client.lrange(name, 0, -1)
        found = {run for message in waiting if (run := run_of_message(message))}
        over = {run for run in found if client.hget(keys.run(run), "state") != b"running"}
        unsend(client, name.decode(), over)
