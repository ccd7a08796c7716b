"""What running runs need of nodes besides a job itself: a model, the data of a language.

Such a run has a label of its own (``Job.label_with``), and so a queue of its own: its chunks reach only nodes that said
that they serve it. The label stands here, for nodes to find out whether they can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cluster import keys

if TYPE_CHECKING:
    import redis

ASKED = "?"
"""Stands for a run that is about to be opened."""
ASKED_S = 60
"""Who asks has opened the run by then, or has given it up."""


def enter(client: redis.Redis, label: str, run: str = ASKED) -> None:
    """Have the nodes find out whether they can serve a label, as long as the run lasts."""
    now_s = _now_s(client)
    with client.pipeline(transaction=True) as pipe:
        pipe.zadd(keys.DEMAND, {f"{label} {run}": now_s})
        pipe.incr(keys.REVISION)
        pipe.execute()


def read(client: redis.Redis) -> Mapping[str, list[str]]:
    """Label -> the runs that need it and are running (``ASKED`` among them). What is over is removed."""
    now_s = _now_s(client)
    found: Any = client.zrange(keys.DEMAND, 0, -1, withscores=True)
    rows = [(row, *row.decode(errors="replace").rpartition(" ")[::2], entered) for row, entered in found]
    with client.pipeline(transaction=False) as pipe:
        for _, _, run, _ in rows:
            pipe.hget(keys.run(run), "state")
        states = pipe.execute(raise_on_error=False)
    needed = defaultdict(list)
    for (row, label, run, entered), state in zip(rows, states, strict=True):
        if state == b"running" or (run == ASKED and now_s - entered < ASKED_S):
            needed[label].append(run)
        else:
            client.zrem(keys.DEMAND, row)
    return needed


def in_use(client: redis.Redis, ref: str) -> list[str]:
    """The running runs that were begun with a bundle, named by a version (``office:3``) or as a whole (``office``)."""
    found = []
    for label, running in read(client).items():
        needed = label.partition("@")[2]
        if needed == ref or needed.startswith(f"{ref}:"):
            found += [run for run in running if run != ASKED]
    return sorted(found)


def _now_s(client: redis.Redis) -> int:
    now: Any = client.time()
    return int(now[0])
