"""What running runs need of nodes besides a job itself: a model, the data of a language.

Such a run has a label of its own (``Job.label_with``), and so a queue of its own: its chunks reach only nodes that said
that they serve it. The label stands here, for nodes to find out whether they can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cluster import keys
from cluster.job import SEPARATOR

if TYPE_CHECKING:
    import redis

ASKED = "?"
"""Stands for a run that is about to be opened."""
BEING_SUBMITTED = "a run that is being submitted"
ASKED_S = 60
"""Who asks has opened the run by then, or has given it up."""


def enter(client: redis.Redis, label: str, run: str = ASKED) -> None:
    """Have the nodes find out whether they can serve a label, as long as the run lasts.

    Called again, it does nothing, unless Redis has lost what it had.
    """
    if client.zadd(keys.DEMAND, {f"{label} {run}": _now_s(client)}, nx=run != ASKED):
        client.incr(keys.REVISION)


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
    """The running runs that were begun with a version of a bundle, ``office:3``, in words where one is about to be."""
    found: set[str] = set()
    for label, running in read(client).items():
        if any(value.partition(".")[0] == ref for value in label.partition("@")[2].split(SEPARATOR)):
            found.update(running)
    return sorted(found - {ASKED}) or [BEING_SUBMITTED for run in found]


def _now_s(client: redis.Redis) -> int:
    now: Any = client.time()
    return int(now[0])
