"""The capabilities that runs and services need besides a job itself: a model, the data of a language.

Such a run has a requirement of its own (``Job.requirement``), and so a queue of its own: its chunks reach only nodes
that said that they serve it. The requirement stands here, for nodes to find out whether they can. Each row has a holder
and an end: a run holds it for as long as it runs, a service for as long as somebody enters it again.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import redis

from cluster import keys
from cluster.names import ModelRef, capabilities
from cluster.redis_rows import WantedRow

if TYPE_CHECKING:
    from cluster.stores import Stores

BEING_SUBMITTED = "a run that is being submitted"
ASKED_S = 60
"""Seconds after which a capability is no longer wanted for a submitter that was killed before it opened its run."""
SERVICE_S = 60
"""The same for a service: the nodes enter it again more often."""

MOST_S = max(ASKED_S, SERVICE_S) + 60
"""No end of another holder than a run is later than this: anything may be written there."""


def enter(client: redis.Redis, requirement: str, holder: str) -> None:
    """Have the nodes find out whether they can serve a capability.

    A run holds it until the run ends, a submission for ``ASKED_S``, a service for ``SERVICE_S``: called again, these
    begin anew. Nodes look at once at what was not there.

    Args:
        client: Of the cluster's Redis.
        requirement: The capability.
        holder: A run, or as ``WantedRow`` writes others.
    """
    row = WantedRow(requirement, holder)
    lasts_s = ASKED_S if row.is_submission else SERVICE_S if row.service else math.inf
    if client.zadd(keys.WANTED, {str(row): _now_s(client) + lasts_s}):
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
    """Requirement -> its holders: running runs, those about to be opened, services. What is over is removed."""
    now_s = _now_s(stores.redis)
    found: Any = stores.redis.zrange(keys.WANTED, 0, -1, withscores=True)
    rows = [WantedRow.parse(raw.decode(errors="replace")) for raw, _ in found]
    states = stores.ledger.runs.states([row.holder for row in rows])
    needed = defaultdict(list)
    for (raw, until_s), row, state in zip(found, rows, states, strict=True):
        if state == "running" or ((row.is_submission or row.service) and now_s < until_s <= now_s + MOST_S):
            needed[row.requirement].append(row.holder)
        else:
            stores.redis.zrem(keys.WANTED, raw)
    return needed


def in_use(stores: Stores, ref: ModelRef) -> list[str]:
    """The running runs that were begun with a version of a bundle; a sentence where one is only about to be opened.

    Services are not among them: these want versions that they do not serve yet, see ``services.targets.holders``.

    Args:
        stores: The cluster's.
        ref: A name and its version; a digest does not count.
    """
    wanted = ref.without_digest
    found: list[WantedRow] = []
    for requirement, holders in read(stores).items():
        if any(wanted == model.without_digest for one in capabilities([requirement]) for model in one.models):
            found += [row for holder in holders if not (row := WantedRow(requirement, holder)).service]
    return sorted({row.holder for row in found if not row.is_submission}) or [BEING_SUBMITTED] * bool(found)


def _now_s(client: redis.Redis) -> int:
    now: Any = client.time()
    return int(now[0])
