"""Chunks that take more memory than a slot: a node begins only as many as fit."""

from pathlib import Path

import pytest

from tests.kit.inputs import texts
from tests.kit.programs import RedisServer, Worker, cluster

UNIT_BYTES = 64 * 2**20


def most_at_once(trace: Path) -> int:
    now = most = 0
    for line in trace.read_text().split():
        now += 1 if line == "begin" else -1
        most = max(most, now)
    return most


@pytest.mark.timeout(120)
def test_a_node_with_three_units_does_one_chunk_of_two_at_a_time(tmp_path: Path) -> None:
    memory = {
        "CLUSTER_SLOTS": "3",
        "CLUSTER_SLOT_MEMORY_BYTES": str(UNIT_BYTES),
        "CLUSTER_RESERVE_MEMORY_BYTES": str(2**60),  # no more than the slots are planned with
        "CLUSTER_MEMORY_FLOOR_BYTES": "0",
    }
    source = texts(tmp_path / "in", 6, "text")
    with RedisServer(tmp_path / "redis") as server, Worker("one", server.url, tmp_path, **memory):
        for units, together in ((2, 1), (1, 3)):
            trace = tmp_path / f"trace-{units}"
            asked = ("--units", str(units), "--trace", trace, "--chunk-size", "1", source, "--broker", server.url)
            done = cluster("submit", "--job", "weighty", "--together", str(together), *asked)
            assert done.returncode == 0, done.stderr
            assert most_at_once(trace) == together
            if units == 2:
                told = cluster("nodes", "--broker", server.url).stdout
                assert "does 1 of weighty@2 at a time: a chunk takes 128.0 MiB" in told
