"""Requests a second and their times, in turns with others; the answers are checked first."""

from __future__ import annotations

import concurrent.futures
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.serving import ground, net
from tests.benchmarks.serving.ground import BENTOML, LITSERVE, RAY, STARLETTE, Peer, Server
from tests.benchmarks.serving.load import Load

CLIENTS = 16
GOALS = {STARLETTE: Goal(">=", 0.6), LITSERVE: Goal(">=", 4), RAY: Goal(">=", 10), BENTOML: Goal(">=", 10)}
RATE, P95_MS = Goal(">=", 8000, "itself"), Goal("<=", 5, "itself")
NEAR = 1e-5
"""Answers differ by less: ours come of OpenCV, the expected ones of NumPy."""


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Ours with one replica beside each other; ours with two; a client alone, and many."""
    seconds = 1.0 if options.small else 5.0
    peers = [peer for peer in GOALS if not options.against or any(re.search(one, peer.name) for one in options.against)]
    with ExitStack() as stack:
        one = stack.enter_context(ground.ours(folder / "ours", 1))
        count = 200 if options.small else net.ROWS
        difference = check(one, count)
        loads: list[Load] = []
        for peer in peers:
            if problem := peer.why_not():
                yield Case(name=f"serving, {peer.name}", skipped=problem)
                continue
            with ground.other(peer, folder / peer.script) as server:
                ours, theirs = turns(one, server, folder, seconds, options.repeat)
            loads += ours
            yield Case(name=f"serving, {peer.name}", notes=notes(theirs), rows=[row(peer, ours, theirs)])
        loads = loads or [one.load(folder, CLIENTS, seconds) for _ in range(options.repeat)]
        few, many = one.load(folder, 1, seconds), one.load(folder, 64, seconds)
    with ground.ours(folder / "two", 2) as two:
        more = [two.load(folder, clients, seconds) for clients in (CLIENTS, 64)]
    yield Case(
        name="serving, ours",
        notes={
            **notes(loads),
            f"largest difference of {count} answers": difference,
            "1 client": told(few), "64 clients": told(many),
            "2 replicas, 16 clients": told(more[0]), "2 replicas, 64 clients": told(more[1]),
        },
        rows=own_rows(loads),
    )  # fmt: skip


def check(server: Server, count: int) -> float:
    """The largest difference between answers under load and the right ones.

    Raises:
        Failed: It is too large: an answer was given to another request, say.
    """
    asked = net.rows()[:count]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = np.array(list(pool.map(server.ask, asked)))
    difference = float(np.abs(found - net.answers(asked)).max())
    if difference > NEAR:
        raise Failed(f"an answer differs by {difference}")
    return difference


def turns(one: Server, other: Server, folder: Path, seconds: float, repeat: int) -> tuple[list[Load], list[Load]]:
    """Both in turns, after a second of each that does not count."""
    for server in (one, other):
        server.load(folder, CLIENTS, 1)
    pairs = [(one.load(folder, CLIENTS, seconds), other.load(folder, CLIENTS, seconds)) for _ in range(repeat)]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def row(peer: Peer, ours: list[Load], theirs: list[Load]) -> Row:
    """One line of the table."""
    return Row(
        work=f"serving, {CLIENTS} clients",
        against=peer.name,
        ours=[load.rate for load in ours],
        theirs=[load.rate for load in theirs],
        unit="requests/s",
        more_is_better=True,
        goal=GOALS[peer],
    )


def own_rows(loads: list[Load]) -> list[Row]:
    """What ours is to reach on a calm machine."""
    work = f"serving, {CLIENTS} clients, a calm machine"
    rates, times = [load.rate for load in loads], [load.times_ms["200"][1] for load in loads]
    return [
        Row(work=work, against="", ours=rates, unit="requests/s", more_is_better=True, goal=RATE),
        Row(work=f"{work}, p95", against="", ours=times, unit="ms", goal=P95_MS),
    ]


def notes(loads: list[Load]) -> dict[str, str]:
    """Each load in words."""
    return {f"load {number}": told(load) for number, load in enumerate(loads, 1)}


def told(load: Load) -> str:
    """A load in words."""
    p50, p95, p99, longest = load.times_ms.get("200", [0, 0, 0, 0])
    others = {code: count for code, count in load.codes.items() if code != "200"}
    wrong = f", others {others}" if others or load.broken else ""
    return f"{load.rate:.0f}/s, p50 {p50} p95 {p95} p99 {p99} longest {longest} ms{wrong}"
