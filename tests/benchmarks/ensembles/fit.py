"""How long two nodes take to fit sub-models, beside one process that fits the same one after another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import Case, Options
from tests.benchmarks.ensembles import made_sets
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.training.trained import Grounds, grounds
from tests.kit.programs import environment

PARTS, TREES = 8, 400
LEAST_CPU_S = 60
SINGLE = """
import json, sys, time
from pathlib import Path
from tests.kit.ensembles import Made
made = Made(Path(sys.argv[1]), **json.loads(sys.argv[2]))
began, cpu = time.monotonic(), time.process_time()
parts = made.turns()
print(json.dumps({
    "s": time.monotonic() - began, "cpu_s": time.process_time() - cpu,
    "bytes": [len(part["model"]) for part in parts.values()],
}))
"""
AT_WORK = {"CLUSTER_SLOTS_IN_USE": "1", "OMP_NUM_THREADS": "1"}
"""Else a node that shares the machine with others would hold its slot back."""


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """The round "fit" in turns with one process."""
    if problem := made_sets.missing():
        yield Case(name="ensembles-fit", skipped=problem)
        return
    with grounds(folder / "cluster", AT_WORK, AT_WORK) as ground:
        yield _fit(ground, options)


def _fit(ground: Grounds, options: Options) -> Case:
    ours, theirs, cpu_s = [], [], 0.0
    for seed in range(options.repeat):
        given = {
            "kind": f"rf:trees={5 if options.small else TREES}", "parts": 2 if options.small else PARTS, "by": "all",
            "seed": seed,
        }  # fmt: skip
        found = ground.train(made_sets.LETTER, {"model": f"letters-{seed}", **given}, "ensemble")
        [row] = [row for row in found.curve if row["kind"] == "fit"]
        single = json.loads(
            subprocess.run(
                [sys.executable, "-c", SINGLE, str(made_sets.LETTER), json.dumps(given)],
                env=environment(**AT_WORK), check=True, capture_output=True, text=True,
            ).stdout
        )  # fmt: skip
        if single["bytes"] != [one["size_bytes"] for one in found.report["sub_models"]]:
            raise Failed("one process and the cluster have fitted other sub-models")
        cpu_s = single["cpu_s"]
        ours.append(float(row["wall_s"]))
        theirs.append(float(single["s"]))
    problem = "" if options.small or cpu_s >= LEAST_CPU_S else f"{cpu_s:.0f} s of CPU are too few to tell"
    return Case(
        name="ensembles-fit",
        problem=problem,
        rows=[
            Row(
                work=f"fit {given['parts']} x {given['kind']} of letters, 2 nodes of 1 slot",
                against="one process, one thread, one after another", ours=ours, theirs=theirs, goal=Goal(">=", 1.7),
                note=f"{cpu_s:.0f} s of CPU in one process",
            )
        ],
    )  # fmt: skip
