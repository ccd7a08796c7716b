"""Reports: the model that a run has trained. One process makes it, and enters the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from cluster import keys

if TYPE_CHECKING:
    import redis

    from cluster.ledger.runs import Runs

PUBLISHING_S = 600
"""Seconds after which a process that began to publish a run's model counts as dead, and another one may begin."""


class Reports:
    """The reports of all runs."""

    def __init__(self, client: redis.Redis, runs: Runs) -> None:
        self._redis = client
        self._runs = runs

    def of(self, run: str) -> dict[str, Any] | None:
        """Return the report that ``enter`` stored; None if there is none yet."""
        row = self._runs.row(run, "report")
        return row.report if row else None

    def begin(self, run: str, owner: str) -> bool:
        """Return whether ``owner`` may publish the run's model; no other process may within ``PUBLISHING_S``."""
        return bool(self._redis.set(keys.run(run, "publishing"), owner, nx=True, ex=PUBLISHING_S))

    def give_up(self, run: str) -> None:
        """Let another process try: the one that began has failed."""
        self._redis.delete(keys.run(run, "publishing"))

    def enter(self, run: str, report: Mapping[str, Any]) -> None:
        """Tell about the model that a run which is over has trained."""
        if self._redis.exists(keys.run(run)):
            self._redis.hset(keys.run(run), "report", orjson.dumps(report))
