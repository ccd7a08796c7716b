"""What a slow machine costs the others."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from cluster import catalog, settings
from cluster.stores import Stores
from tests.kit.programs import RedisServer, Worker, cluster

CHUNKS, SECONDS, SLOWER = 120, 0.3, 10
FAST_SLOTS, SLOW_SLOTS = 2, 1
IDEAL_S = CHUNKS * SECONDS / (FAST_SLOTS + SLOW_SLOTS / SLOWER)
"""The work split by speed, and nothing else to do."""


def test_a_node_ten_times_slower_costs_less_than_a_fifth(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for at in range(CHUNKS):
        (source / f"{at:03}.txt").write_text("x" * at)
    took = []
    with (
        RedisServer(tmp_path / "redis") as server,
        Worker("fast", server.url, tmp_path, "-c", str(FAST_SLOTS)),
        Worker("slow", server.url, tmp_path, "-c", str(SLOW_SLOTS), CLUSTER_TEST_SLOWER=str(SLOWER)),
    ):
        ledger = Stores.connect(settings.load(broker_url=server.url)).ledger
        for _ in range(3):
            done = cluster("submit", "--job", "measure", "--seconds", str(SECONDS), source, "--broker", server.url)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == catalog.get("measure").run_locally(source)
            [found] = ledger.runs.latest(1)
            assert found.nodes["slow@test"] >= 1
            took.append(found.seconds)
    print(f"{took} s; ideal {IDEAL_S:.1f} s")
    assert statistics.median(took) < 1.2 * IDEAL_S
