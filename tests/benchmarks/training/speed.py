"""How long training in rounds takes beside one process, and what the rounds themselves cost."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from cluster import names, settings
from cluster.stores import Stores
from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.training import accuracy, others, rows
from tests.benchmarks.training.trained import Grounds, Trained, grounds
from tests.kit.programs import cluster

STEPS = 250
ROUND_S = 1.0
TIMED_ROUNDS, EMPTY_ROUNDS = 30, 200
MOST_OF_SINGLE, MOST_OVERHEAD, MOST_EMPTY_MS = 0.65, 0.1, 5
SLOTS = 2


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """The wall time, rounds of a second, and rounds without work."""
    if problem := rows.missing():
        yield Case(name="training-speed", skipped=problem)
        return
    with grounds(folder / "cluster", {}, {}) as ground:
        yield _wall(ground, folder, options)
        yield _timed(ground, options)
        yield _empty(ground, options)


def _wall(ground: Grounds, folder: Path, options: Options) -> Case:
    """From the end of the first round to the end of the last: nodes have read their shards and loaded torch by then."""
    ours, theirs = [], []
    for seed in range(options.repeat):
        given = accuracy.letters(seed, small=options.small) | {"steps": 25 if options.small else STEPS}
        found = ground.train(rows.LETTER, given)
        accuracy.check(found, given)
        split = rows.as_split(rows.LETTER, folder, given)
        single = others.SINGLE.go(accuracy.settings(split, given, [128, 128])).last
        ours.append(found.seconds_from(0))
        theirs.append(single.s * (given["rounds"] - 1) / given["rounds"])
    return Case(
        name="training-speed, wall",
        rows=[
            Row(
                work=f"letters, mlp:128,128, 8 shards x {given['rounds']} rounds x {given['steps']} steps, 2 nodes",
                against="one process, one thread, as many samples",
                ours=ours,
                theirs=theirs,
                goal=Goal("<=", MOST_OF_SINGLE),
            )
        ],
    )


def _timed(ground: Grounds, options: Options) -> Case:
    shares, found = [], None
    for seed in range(options.repeat):
        given = accuracy.letters(seed) | {
            "shards": SLOTS, "steps": 0, "round_seconds": ROUND_S, "rounds": 6 if options.small else TIMED_ROUNDS,
        }  # fmt: skip
        found = ground.train(rows.LETTER, given)
        shares.append(overhead(found))
    return Case(
        name="training-speed, rounds of 1 s",
        notes=breakdown(found) if found else {},
        rows=[
            Row(
                work=f"rounds of {ROUND_S:g} s: share of the time that is no computing",
                against="",
                unit="",
                ours=shares,
                goal=Goal("<=", MOST_OVERHEAD, "itself"),
            )
        ],
    )


def overhead(found: Trained) -> float:
    """The median share of a round in which a slot does not compute."""
    lasts = [float(later["closed_at"] - before["closed_at"]) for before, later in itertools.pairwise(found.rounds)]
    computes = [float(row["times"]["compute"]) for row in found.rounds[1:]]
    return statistics.median(1 - compute / last for compute, last in zip(computes, lasts, strict=True))


def breakdown(found: Trained) -> dict[str, float | str]:
    """Where the time of a round goes, medians in ms."""
    kinds = found.rounds[-1]["times"]
    return {
        f"{kind}, ms": round(1000 * statistics.median(row["times"][kind] for row in found.rounds[1:]), 1)
        for kind in kinds
    }


def _empty(ground: Grounds, options: Options) -> Case:
    """Rounds whose parts take no time: what remains is the way through Redis and the coordinator."""
    rounds = 30 if options.small else EMPTY_ROUNDS
    source = ground.folder / "source.txt"
    source.write_text("whatever")
    medians = []
    for _ in range(options.repeat):
        output = ground.folder / "counts.json"
        told = cluster(
            *("submit", "--job", "count-turns", "--rounds", str(rounds), "--shards", str(SLOTS), source),
            *("-o", output, "--broker", ground.url),
            timeout_s=120,
        )
        if told.returncode or json.loads(output.read_bytes())["counts"] != [[1] * SLOTS] * rounds:
            raise Failed(f"rounds without work ended with code {told.returncode}: {told.stderr}")
        ledger = Stores.connect(settings.load(broker_url=ground.url)).ledger
        ends = [names.entered_ms(at) for at, _ in ledger.rounds.curve(ledger.runs.latest(1)[0].run)]
        medians.append(statistics.median(later - before for before, later in itertools.pairwise(ends)))
    return Case(
        name="training-speed, rounds without work",
        rows=[
            Row(
                work=f"a round without work, {SLOTS} slots, median of {rounds}",
                against="",
                unit="ms",
                ours=medians,
                goal=Goal("<=", MOST_EMPTY_MS, "itself"),
            )
        ],
    )
