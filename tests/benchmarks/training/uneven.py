"""A node that is five times as slow as the others, parts that are dropped, and nodes that are killed.

Steps are padded to 10 ms (50 ms on the slow node), so that four nodes on two cores do not decide.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster import settings
from cluster.stores import Stores
from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.training import rows
from tests.benchmarks.training.trained import Grounds, Trained, grounds

NODES = 4
STEP_S, SLOWER = 0.01, 5
ROUND_S, ROUNDS = 0.5, 40
STEPS = round(ROUND_S / STEP_S)
DROPPED = 0.1
KILLS = 5
LOOK_S = 0.05
JOB = "train-padded"
STEP, DROP = "CLUSTER_TEST_STEP_S", "CLUSTER_TEST_DROP"


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """All with the same seconds to learn in."""
    if problem := rows.missing():
        yield Case(name="training-uneven", skipped=problem)
        return
    rounds = 6 if options.small else ROUNDS
    load = [os.getloadavg()[0]]
    equal, slow, fixed, dropped, killed = [], [], [], [], []
    for seed in range(1 if options.small else options.repeat):
        given = {
            "model": f"uneven-{seed}", "net": "mlp:128,128", "shards": NODES, "seed": seed, "patience": 0,
            "rounds": rounds, "round_seconds": ROUND_S,
        }  # fmt: skip
        fast: Mapping[str, str] = {STEP: str(STEP_S)}
        with grounds(folder / f"equal-{seed}", *[fast] * NODES) as ground:
            equal.append(ground.train(rows.LETTER, given, JOB))
            killed.append(_killed(ground, given, 2 if options.small else KILLS))
        load.append(os.getloadavg()[0])
        with grounds(folder / f"slow-{seed}", *[fast] * (NODES - 1), {STEP: str(STEP_S * SLOWER)}) as ground:
            slow.append(ground.train(rows.LETTER, given, JOB))
            # As long, if each round waits for the slow node.
            waits = {"steps": STEPS, "round_seconds": 0, "rounds": max(1, rounds // SLOWER), "quorum": 1}
            fixed.append(ground.train(rows.LETTER, given | waits, JOB))
        with grounds(folder / f"dropped-{seed}", *[{**fast, DROP: str(DROPPED)}] * NODES) as ground:
            dropped.append(ground.train(rows.LETTER, given, JOB))
        load.append(os.getloadavg()[0])
    yield Case(
        name="training-uneven",
        notes={
            # Its own nodes make some of it: steps are padded, so that a calm machine has less than one.
            "load of the machine, before, with equal nodes, at the end of each seed":
                " ".join(f"{each:.1f}" for each in load),
            "late, equal": sum(each.report["late"] for each in equal),
            "late, one slow": sum(each.report["late"] for each in slow),
            f"missing, {DROPPED:.0%} dropped": sum(NODES - row["parts"] for each in dropped for row in each.rounds),
            f"late, {KILLS} kills": sum(each.report["late"] for each in killed),
            "the longest round with kills, s": round(max(map(longest_s, killed)), 1),
            "seconds, kills against none": " ".join(
                f"{disturbed.seconds_from(0):.0f}/{calm.seconds_from(0):.0f}"
                for disturbed, calm in zip(killed, equal, strict=True)
            ),
        },
        rows=[
            _accuracy("one of 4 nodes 5 x slower", slow, equal, Goal(">=", -1.5, "points")),
            _accuracy("the same, fixed steps, each round waits for all", fixed, equal, None),
            _accuracy(f"{DROPPED:.0%} of the parts dropped", dropped, equal, Goal(">=", -1, "points")),
            _accuracy(f"{KILLS} nodes killed", killed, equal, None),
            Row(
                work=f"{DROPPED:.0%} of the parts dropped: seconds", against="4 equal nodes",
                ours=[each.seconds_from(0) for each in dropped], theirs=[each.seconds_from(0) for each in equal],
                goal=Goal("<=", 1.15),
            ),
        ],
    )  # fmt: skip


def _accuracy(what: str, ours: list[Trained], equal: list[Trained], goal: Goal | None) -> Row:
    return Row(
        work=f"letters, {ROUND_S:g} s a round, {what}: accuracy", against="4 equal nodes", unit="", more_is_better=True,
        ours=[each.accuracy for each in ours], theirs=[each.accuracy for each in equal], goal=goal,
    )  # fmt: skip


def longest_s(found: Trained) -> float:
    """The longest round after the first one, in which nodes load torch."""
    ends = [row["closed_at"] for row in found.rounds]
    return max((after - before for before, after in itertools.pairwise(ends)), default=0.0)


def _killed(ground: Grounds, given: Mapping[str, Any], kills: int) -> Trained:
    """Kill a node each few rounds, and start it again at once.

    Raises:
        Failed: The run ended before the last kill.
    """
    ledger = Stores.connect(settings.load(broker_url=ground.url)).ledger
    before = {each.run for each in ledger.runs.latest(100)}
    every = given["rounds"] / (kills + 1)
    done = 0
    with ground.submitted(rows.LETTER, given, JOB) as submitted:
        while submitted.process.poll() is None and done < kills:
            time.sleep(LOOK_S)
            runs = [each.run for each in ledger.runs.latest(1) if each.run not in before]
            row = ledger.rounds.of(runs[0]) if runs else None
            if row and row.round >= every * (done + 1):
                worker = ground.nodes[done % len(ground.nodes)]
                worker.kill()
                worker.start()
                done += 1
        found = ground.ended(submitted)
        if done < kills:
            raise Failed(f"the run ended after {done} kills")
        return found
