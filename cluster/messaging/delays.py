"""Messages that no node is to take yet. Redis's clock alone says when; nodes and supervisors move what is due.

Celery's own ETA is a moment by the clock of the node that failed, and the node that takes the message compares it
with its own clock.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from cluster import keys
from cluster.redis_rows import DelayedRow
from cluster.scripts import Scripts
from cluster.wire import run_of_message

if TYPE_CHECKING:
    import redis

PACKAGE = "cluster.ledger"
MOST_S = 60.0
MOST_AT_ONCE = 200
"""Messages that one call moves at most, which holds up Redis for under a millisecond."""


def put(client: redis.Redis, queue: str, message: str, delay_s: float) -> None:
    """Have a message reach its queue after ``delay_s``, ``MOST_S`` at most."""
    delay_ms = round(1000 * min(MOST_S, max(0.0, delay_s)))
    row = bytes(DelayedRow(queue, message.encode()))
    Scripts(client, PACKAGE)("delay", {"delayed": keys.DELAYED}, delay_ms=delay_ms, member=row)


def release(client: redis.Redis) -> int:
    """Move messages whose delay is over to their queues, ``MOST_AT_ONCE`` at most; gives how many.

    Runs whose outbox waits (``feed`` in ``prelude.lua``) are fed, too. Anybody may call it at any time. Nodes do with
    each heartbeat, so a run without a coordinator goes on.
    """
    names = {"delayed": keys.DELAYED, "due": keys.DUE}
    return int(Scripts(client, PACKAGE)("release_delayed", names, most=MOST_AT_ONCE, far_ms=round(2000 * MOST_S)))


def messages(rows: Collection[bytes]) -> list[bytes]:
    """The messages among the members of ``keys.DELAYED``."""
    return [DelayedRow.parse(row).message for row in rows]


def drop(client: redis.Redis, runs: Collection[str]) -> None:
    """Forget what is delayed of these runs."""
    rows: Any = client.zrange(keys.DELAYED, 0, -1)
    if found := [row for row in rows if run_of_message(DelayedRow.parse(row).message) in runs]:
        client.zrem(keys.DELAYED, *found)
