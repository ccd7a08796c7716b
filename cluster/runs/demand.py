"""What running runs need of nodes besides a job itself: a model, the data of a language.

Such a run has a label of its own (``Job.label_with``), and so a queue of its own: its chunks reach only nodes that said
that they serve it. The label stands here, for nodes to find out whether they can.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import redis

from cluster import keys
from cluster.job import SEPARATOR

ASKED = "?"
"""The name of a run that is about to be opened begins so; no run's does."""
BEING_SUBMITTED = "a run that is being submitted"
ASKED_S = 60
"""Then the demand of a submitter ends that was killed before it opened its run."""


def enter(client: redis.Redis, label: str, run: str) -> None:
    """Have the nodes find out whether they can serve a label, as long as the run lasts.

    Called again, it does nothing, unless Redis has lost what it had, or the run is about to be opened: then its
    ``ASKED_S`` begin anew.
    """
    if client.zadd(keys.DEMAND, {f"{label} {run}": _now_s(client)}, nx=not run.startswith(ASKED)):
        client.incr(keys.REVISION)


class Asked:
    """The demand of one run that is about to be opened: it ends with the ``with``, or sooner by ``withdraw``."""

    def __init__(self, client: redis.Redis, label: str) -> None:
        self._redis = client
        self._label = label
        self._run = f"{ASKED}{secrets.token_hex(4)}"
        self._entered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.withdraw()

    def enter(self) -> None:
        """Have the nodes find out; call it again within ``ASKED_S`` to go on asking."""
        self._entered = True
        enter(self._redis, self._label, self._run)

    def withdraw(self) -> None:
        """The run is open, or is given up."""
        if self._entered:
            self._entered = False
            with contextlib.suppress(redis.RedisError):  # then it ends by itself
                self._redis.zrem(keys.DEMAND, f"{self._label} {self._run}")


def read(client: redis.Redis) -> Mapping[str, list[str]]:
    """Label -> the runs that need it and are running (those about to be opened among them). What is over is removed."""
    now_s = _now_s(client)
    found: Any = client.zrange(keys.DEMAND, 0, -1, withscores=True)
    rows = [(row, *row.decode(errors="replace").rpartition(" ")[::2], entered) for row, entered in found]
    with client.pipeline(transaction=False) as pipe:
        for _, _, run, _ in rows:
            pipe.hget(keys.run(run), "state")
        states = pipe.execute(raise_on_error=False)
    needed = defaultdict(list)
    for (row, label, run, entered), state in zip(rows, states, strict=True):
        if state == b"running" or (run.startswith(ASKED) and now_s - entered < ASKED_S):
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
    return sorted(run for run in found if not run.startswith(ASKED)) or [BEING_SUBMITTED] * bool(found)


def _now_s(client: redis.Redis) -> int:
    now: Any = client.time()
    return int(now[0])
