"""Many small runs on one cluster, and what they leave in its Redis."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from cluster import catalog, keys, settings
from cluster.client import session
from cluster.client.session import Session
from cluster.coordinator import prune
from cluster.coordinator.cancel import cancel
from cluster.stores import Stores
from tests.kit import sessions
from tests.kit.programs import RedisServer, Worker, admin
from tests.kit.waiting import wait_until

FOR_EVER = ("_kombu.binding.*", "_kombu.binding_permanent.*", "_kombu.binding_deadlines")
"""Keys that have no time to live: Celery's table of queues. One row a queue, however many runs there are."""
CHORDS = "celery-taskset-meta-*"
"""Celery's counters of chords. They go by themselves within an hour."""
OF_NODES = (keys.NODES, keys.LOSSES, "_kombu.binding.celery.pidbox", "_kombu.binding.celeryev")


class Stopped(KeyboardInterrupt):
    """Raised while a run is waited for."""


STEP_BYTES = 512
"""A text that grows by one character may take so many more bytes: its allocator has sizes in steps."""


def soak(folder: Path, runs: int) -> None:
    """See that Redis is where it was before so many runs, of which some are cancelled and some have failures."""
    source = folder / "in"
    source.mkdir()
    for at in range(6):
        (source / f"{at}.txt").write_text("refuse" if at == 5 else "some words")
    with RedisServer(folder / "redis") as server, Worker("soaked", server.url, folder, "-c", "2"):
        config = settings.load(broker_url=server.url, inline_bytes=0)  # all parts and partials are blobs
        client = admin(server.url)
        with sessions.opened(config, catalog.get("measure"), {}) as opened:
            do(opened, source, 4)  # what the first runs leave for good
            wait_until("the node has dropped what was cancelled", lambda: not endless(client))
            prune_all(client, opened.stores)
            before, memory_before = look(client), memory(client)
            most_bytes = memory_before + 64 * 1024  # tables of keys that have once been larger
            do(opened, source, runs)
            wait_until("the node has dropped what was cancelled", lambda: not endless(client))
            assert len(opened.stores.ledger.runs.latest(runs + 1)) == runs
            prune_all(client, opened.stores)
            after = look(client)
            # What Redis holds for connections counts as data, until it looks after them; what is lost stays.
            wait_until("memory is where it was", lambda: memory(client) < most_bytes)
    assert after.keys() == before.keys(), sorted(after.keys() ^ before.keys())
    changed = {
        key: (before[key], size)
        for key, size in after.items()
        if size != pytest.approx(before[key], rel=0.1, abs=STEP_BYTES)
    }
    assert not changed, changed


def do(opened: Session, source: Path, runs: int) -> None:
    """Every fourth one is cancelled half-way."""
    job = catalog.get("measure")
    for at in range(runs):
        options = job.check_options({"chunk_size": 1, "seconds": 0.2 if at % 4 == 3 else 0.0})
        run = opened.start(job, options)
        calls = itertools.count()

        def wait(cancel: bool = at % 4 == 3, calls: Any = calls) -> None:
            if cancel and next(calls) == 4:
                raise Stopped

        try:
            assert opened.coordinate(job, run, session.Input(job, [source], options), wait) == "done"
        except Stopped:
            assert cancel(run, opened.stores, "soaked") == (True, "cancelled")


def prune_all(client: redis.Redis, stores: Stores) -> None:
    """Prune, and have the hour pass after which Celery's counters are gone."""
    prune.prune(stores, prune.ended(stores))
    for key in client.scan_iter(match=CHORDS):
        left: Any = client.ttl(key)
        assert 0 < left <= 3600, key
        client.delete(key)


def look(client: redis.Redis) -> Mapping[str, int]:
    """Key -> its size in bytes; without those that are there for a second after each run."""
    found: dict[str, int] = {}
    for key in client.scan_iter():
        size: Any = client.memory_usage(key)
        if key.decode() not in (keys.DETECTOR, keys.WRITABLE) and size is not None:
            found[key.decode()] = size
    return found


def memory(client: redis.Redis) -> int:
    """Bytes that Redis takes for all its data; not what it remembers of commands, some 24 KiB for each kind of them."""
    client.config_resetstat()
    client.slowlog_reset()
    return int(client.info("memory")["used_memory_dataset"])


def endless(client: redis.Redis) -> set[str]:
    """Keys without a time to live, but for those known to have none."""
    known = (*FOR_EVER, *OF_NODES)
    names = {key.decode() for key in client.scan_iter() if client.ttl(key) == -1}
    return {name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in known)}
