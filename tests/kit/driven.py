"""A run in rounds with a real driver, whose nodes the test plays."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from typing import Any

from celery import Celery

from cluster import keys
from cluster.coordinator import begin_rounds
from cluster.coordinator import standing as standings
from cluster.coordinator.rounds import Driver, Tools
from cluster.coordinator.standing import Standing
from cluster.ledger.lease import Lease, Split
from cluster.ledger.row import RunPolicy
from cluster.rounds import Bound
from cluster.settings import Settings
from cluster.stores import Stores
from cluster.wire import MapMessage
from cluster.worker import map_chunk
from splitters import Item
from tests.kit.jobs.cluster_testturns import COUNT_TURNS
from tests.kit.played_rounds import on
from tests.kit.played_run import CONFIG, finding
from tests.kit.waiting import wait_until

SHARDS, ROUNDS = 2, 3


class Driven:
    """A run that is driven; the test does its chunks. ``drive_on`` is what the next coordinator does."""

    def __init__(self, app: Celery, stores: Stores, checkpoints: Any = None, **given: Any) -> None:
        self.run = f"count-turns-{secrets.token_hex(4)}"
        self.stores = stores
        self.shards = given.get("shards", SHARDS)
        options = COUNT_TURNS.check_options({"shards": SHARDS, "rounds": ROUNDS, **given})
        policy = RunPolicy(time_limit_s=60)
        stores.ledger.runs.create(self.run, COUNT_TURNS.name, COUNT_TURNS.version, options, "test", policy=policy)
        lease = Lease.take(stores.ledger, self.run, "test", "splitter")
        items = [Item("about", b"%d" % self.shards)]
        items += [Item(f"shard {at}", b"%d" % at * 100_000) for at in range(self.shards)]
        uploads = begin_rounds.Uploads(self.run, stores, policy)
        shards = [shard for item in items if (shard := uploads.add([item]))]
        now_ms = int(stores.ledger.runs.now().timestamp() * 1000)
        first = begin_rounds.first(self.run, self._bound(options), shards, stores, policy, now_ms)
        lease.begin_rounds(
            Split(), shards, first.standing.packed(), first.standing.views, first.entries, first.rounds, {}, 0
        )
        self._tools = Tools(app, stores, COUNT_TURNS.capability, threading.Lock(), lambda lease: None, checkpoints)
        self.driver = Driver(COUNT_TURNS, self.run, lease, self._tools)

    def _bound(self, options: Mapping[str, Any]) -> Bound:
        return Bound(COUNT_TURNS, options, b"%d" % self.shards)

    def drive_on(self) -> None:
        """Another coordinator has the run from now on."""
        self.driver.stop(10)
        self.stores.redis.hset(keys.run(self.run), "lease_until_ms", 0)
        lease = Lease.take(self.stores.ledger, self.run, f"driver {secrets.token_hex(4)}", "supervisor")
        self.driver = Driver(COUNT_TURNS, self.run, lease, self._tools)
        self.driver.start()

    def do(self, chunk: int, *, stays: bool = False, node: str = "n1", config: Settings = CONFIG) -> Any:
        message = MapMessage(run=self.run, chunks=[chunk])
        return map_chunk.run(
            message, finding(COUNT_TURNS), self.stores, config, on(node), stays=lambda: stays
        )  # fmt: skip

    def closed(self, round_: int) -> None:
        def there() -> bool:
            found = self.stores.ledger.rounds.of(self.run)
            return found is not None and found.round == round_

        wait_until(f"round {round_} is closed", there, 20)

    @property
    def blobs(self) -> set[str]:
        return {key.decode() for key in self.stores.redis.scan_iter(keys.blobs(f"runs/{self.run}/*"))}

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for _, row in self.stores.ledger.rounds.curve(self.run)]

    @property
    def counted(self) -> dict[str, int]:
        found = self.stores.ledger.rounds.of(self.run)
        assert found is not None
        standing = Standing.unpack(found.state, found.views)
        state: dict[str, int] = standings.read_state(self.run, standing, self._bound({}), self.stores)
        return state
