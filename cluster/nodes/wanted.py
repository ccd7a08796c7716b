"""The capabilities that running runs need besides a job itself: a model, the data of a language.

Such a run has a requirement of its own (``Job.requirement``), and so a queue of its own: its chunks reach only nodes
that said that they serve it. The requirement stands here, for nodes to find out whether they can.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import redis

from cluster import keys
from cluster.names import ModelRef, WantedRow, capabilities

if TYPE_CHECKING:
    from cluster.stores import Stores

BEING_SUBMITTED = "a run that is being submitted"
ASKED_S = 60
"""Seconds after which a capability is no longer wanted for a submitter that was killed before it opened its run."""


def enter(client: redis.Redis, requirement: str, run: str) -> None:
    """Have the nodes find out whether they can serve a capability, as long as the run lasts.

    Called again, it does nothing, unless Redis has lost what it had, or the run is about to be opened: then its
    ``ASKED_S`` begin anew.
    """
    row = WantedRow(requirement, run)
    if client.zadd(keys.WANTED, {str(row): _now_s(client)}, nx=not row.is_submission):
        client.incr(keys.REVISION)


class Asked:
    """The capability that a submission wants before it opens its run; until the ``with`` ends, or ``withdraw``."""

    def __init__(self, client: redis.Redis, requirement: str) -> None:
        self._redis = client
        self._row = WantedRow(requirement, WantedRow.new_submission())
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
        enter(self._redis, *self._row)

    def withdraw(self) -> None:
        """The run is open, or is given up."""
        if self._entered:
            self._entered = False
            with contextlib.suppress(redis.RedisError):  # then it ends by itself
                self._redis.zrem(keys.WANTED, str(self._row))


def read(stores: Stores) -> Mapping[str, list[str]]:
    """Requirement -> the running runs that have it, also those about to be opened. What is over is removed."""
    now_s = _now_s(stores.redis)
    found: Any = stores.redis.zrange(keys.WANTED, 0, -1, withscores=True)
    rows = [WantedRow.parse(raw.decode(errors="replace")) for raw, _ in found]
    states = stores.ledger.runs.states([row.run for row in rows])
    needed = defaultdict(list)
    for (raw, entered), row, state in zip(found, rows, states, strict=True):
        if state == "running" or (row.is_submission and now_s - entered < ASKED_S):
            needed[row.requirement].append(row.run)
        else:
            stores.redis.zrem(keys.WANTED, raw)
    return needed


def in_use(stores: Stores, ref: ModelRef) -> list[str]:
    """The running runs that were begun with a version of a bundle; a sentence where one is only about to be opened.

    Args:
        stores: The cluster's.
        ref: A name and its version; a digest does not count.
    """
    wanted = ref.without_digest
    found: list[WantedRow] = []
    for requirement, running in read(stores).items():
        if any(wanted == model.without_digest for one in capabilities([requirement]) for model in one.models):
            found += [WantedRow(requirement, run) for run in running]
    return sorted({row.run for row in found if not row.is_submission}) or [BEING_SUBMITTED] * bool(found)


def _now_s(client: redis.Redis) -> int:
    now: Any = client.time()
    return int(now[0])
