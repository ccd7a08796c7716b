"""At full load: a replica is killed, too much is asked, another version is pinned."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cluster import keys
from cluster.bundles import content
from cluster.gateway.line import LEAST_RESEND_S, RESEND_TIMES
from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.serving import ground, net
from tests.benchmarks.serving.ground import Server
from tests.benchmarks.serving.load import Load
from tests.benchmarks.serving.speed import told
from tests.kit.waiting import wait_until

LONGEST_MS = 500.0
"""Or three times the delay after which a request is sent once more, if that is longer."""
PINNED_S = 2.0
SETTLED_S = 10.0
"""Seconds that a service has been there when its next version is pushed."""


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Each fault once."""
    yield killed(folder, 2_000 if options.small else 50_000)
    for tried in (True, False):
        yield pinned(folder, 4.0 if options.small else 10.0, tried=tried)
    yield full(folder, 3.0 if options.small else 15.0)


def during(
    server: Server, folder: Path, clients: int, seconds: float, most: int | None, fault: Callable[[], None]
) -> Load:
    """A load, during which something happens after a second."""
    timer = threading.Timer(1.0, fault)
    timer.start()
    try:
        return server.load(folder, clients, seconds, most)
    finally:
        timer.join()


def itself(work: str, ours: float, unit: str, most: float) -> Row:
    """A line that stands beside nothing but its limit."""
    return Row(work=f"serving, {work}", against="", ours=[ours], unit=unit, goal=Goal("<=", most, "itself"))


def failed(load: Load, *expected: str) -> float:
    """Answers with another code than these and 200, and connections that broke."""
    return sum(count for code, count in load.codes.items() if code not in ("200", *expected)) + float(load.broken)


def killed(folder: Path, requests: int) -> Case:
    """One of two replicas is killed."""
    with ground.ours(folder / "killed", 2) as server:
        assert server.stores is not None
        stores = server.stores
        load = during(
            server, folder, 64, 120, requests, lambda: os.kill(ground.ready(stores)[0], signal.SIGKILL)
        )  # fmt: skip
    _, p95_ms, _, longest_ms = load.times_ms["200"]
    resend_ms = max(LEAST_RESEND_S * 1000, RESEND_TIMES * p95_ms)
    work = f"kill -9 of one of two replicas, {requests:,} requests"
    return Case(
        name="serving-faults, a killed replica",
        notes={"load": told(load)},
        rows=[
            itself(f"{work}, failed", failed(load), "requests", 0),
            itself(f"{work}, longest", longest_ms, "ms", max(LONGEST_MS, 3 * resend_ms)),
        ],
    )


def pinned(folder: Path, seconds: float, *, tried: bool) -> Case:
    """Version 2 is pinned, whose answers are other ones: after the nodes have tried it, or right after its push.

    The service has been there for ``SETTLED_S`` before anybody asks.
    """
    row = net.rows()[0]
    after = net.answers(row[None], 1)[0]
    took: list[float] = []
    with ground.ours(folder / ("tried" if tried else "pushed"), 2) as server:
        stores = server.stores
        assert stores is not None
        bundles = stores.models.bundles
        bundles.pin("net", 1)
        net.write(folder / "second" / str(tried), 1)
        second = content.read_folder(folder / "second" / str(tried))
        ends = time.monotonic() + SETTLED_S
        wait_until("settled", lambda: time.monotonic() > ends, 2 * SETTLED_S)
        if tried:
            reference = bundles.push("net", second, "a benchmark").manifest.reference
            wait_until("tried", lambda: ground.can(stores, f"onnx@{reference}") == 2, 60)

        def pin() -> None:
            if not tried:
                bundles.push("net", second, "a benchmark")
            began = time.monotonic()
            bundles.pin("net", 2)
            wait_until("served", lambda: abs(server.ask(row)[0] - after[0]) < 1e-4, 60)
            took.append(time.monotonic() - began)

        load = during(server, folder, 16, seconds, None, pin)
    work = f"a version pinned at full load {'that was pushed before' if tried else 'right after its push'}"
    return Case(
        name=f"serving-faults, a pin of what {'was tried' if tried else 'is new'}",
        notes={"load": told(load)},
        rows=[
            itself(f"{work}, served after", took[0], "s", PINNED_S),
            itself(f"{work}, failed", failed(load), "requests", 0),
        ],
    )


def full(folder: Path, seconds: float) -> Case:
    """256 clients ask a replica that does 190 requests a second; 64 may wait."""
    longest = 0
    with ground.slow(folder / "full", max_waiting=64, deadline_ms=2000) as server:
        stores = server.stores
        assert stores is not None
        ended = threading.Event()

        def look() -> None:
            nonlocal longest
            while not ended.wait(0.01):
                longest = max(longest, stores.redis.llen(keys.requests("net")))

        looking = threading.Thread(target=look)
        looking.start()
        load = server.load(folder, 256, seconds)
        ended.set()
        looking.join()
    return Case(
        name="serving-faults, too much is asked",
        notes={"answered": told(load), "refused after, ms": str(load.times_ms.get("429"))},
        rows=[
            itself("256 clients on 190/s, longest queue", float(longest), "requests", 64),
            itself("256 clients on 190/s, neither answered nor refused", failed(load, "429"), "requests", 0),
        ],
    )  # fmt: skip
