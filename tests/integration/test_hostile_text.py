"""Who may write to the cluster's Redis, or name a file, cannot steer the terminals of those who look."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cluster import cli, keys
from cluster.ledger import lease
from cluster.stores import Stores

EVIL = "evil\x1b[2J\x9b31m\u202e\x07\rFORGED: done\nFORGED: all done [/red]"
"""Clears a terminal, colours it, turns its text around, and looks like lines of ours."""
FACTS = {
    "slots": 2, "slots_allowed": 1, "held_back": EVIL, "busy": 0, "done": 0, "cores": 2, "memory_total_bytes": 1,
    "memory_available_bytes": 1, "load": 0.0, "jobs": [EVIL], "known": [EVIL, "wordcount"],
    "missing": {EVIL: EVIL, "wordcount": EVIL}, "bundles": [EVIL], "versions": {EVIL: EVIL},
}  # fmt: skip
STATES = ("running", "done", "failed", "cancelled")
COMMANDS = (
    *(f"{command} run-{state}" for state in STATES for command in ("status", "status --events", "result", "resume")),
    *(f"status {events}--json run-{state}" for state in STATES for events in ("", "--events ")),
    "resume run-running {words}", "cancel run-failed", "cancel run-running",
    "runs", "runs --json", "nodes", "nodes --json", "shutdown --wait 0", "shutdown --node x", "shutdown --node {evil}",
    "submit --job wordcount --if-no-node fail {words}", "submit --job wordcount {evil}",
    "submit --job {evil} {words}", "submit --job wordcount {words} -o {evil}/x/y", "{evil}",
    "models list", "models list --json", "models show evil", "models show {evil}", "models remove evil", "doctor",
    "doctor --json", "submit --job onnx --model evil --if-no-node fail {words}",
)  # fmt: skip


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    return broker


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before


@pytest.fixture
def poisoned(redis_url: str, client: redis.Redis, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field that somebody else may write is ``EVIL``."""
    client.flushall()
    monkeypatch.setenv("CLUSTER_BROKER_URL", redis_url)
    monkeypatch.setattr(lease, "LEASE_S", 0)
    now = time.time()
    for state in STATES:
        run = f"run-{state}"
        stores.ledger.runs.create(run, "wordcount", "", {}, EVIL)
        row: dict[Any, Any] = {
            "state": state,
            "error": EVIL,
            "coordinator": EVIL,
            "role": "splitter",
            "submitter": EVIL,
        }
        row |= {"lease_until_ms": str(int(now * 1000) + 600_000), "passed_over": json.dumps({EVIL: 3, "[red]": 1})}
        row |= {"chunks_total": "0", "finished_at": str(now)} if state == "done" else {}
        client.hset(keys.run(run), mapping=row)
        for name in ("failures", "rejections"):
            client.hset(keys.run(run, name), EVIL, EVIL)
        client.hset(keys.run(run, "nodes"), EVIL, 1)
        client.xadd(keys.run(run, "events"), dict.fromkeys(("event", "chunk", "node", "why"), EVIL))
    client.hset(keys.NODES, EVIL, f"incarnation {now} {now} here {json.dumps(FACTS)}")
    for name in ("evil", EVIL):
        client.hset(keys.BUNDLES, name, "1 1 0")
        client.hset(keys.bundle(name), "1", json.dumps({"job": EVIL, "by": EVIL, "files": EVIL, EVIL: EVIL}))
    client.zadd(keys.WANTED, {f"onnx@evil:1.12345678 {EVIL}": now, f"{EVIL} run-running": now})


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("poisoned")
def test_nothing_that_others_wrote_steers_a_terminal(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("some words")
    places = {"words": tmp_path / "words.txt", "evil": EVIL}
    with pytest.raises(SystemExit):
        cli.main([word.format(**places) for word in command.split()])
    told = capsys.readouterr()
    for line in (*told.out.split("\n"), *told.err.split("\n")):
        assert line.isprintable(), line
        assert not line.startswith("FORGED"), told
    assert "Traceback" not in told.err
    if "--json" in command:
        json.loads(told.out)
