"""How long two nodes take to fit sub-models, beside one process that fits the same one after another.

Others fit trees on the same rows in two processes of one thread each, or two threads, and trees a second are compared;
their start does not count. What they say of the test rows is checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks import Case, Options
from tests.benchmarks.ensembles import made_sets, peers
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.training.trained import Grounds, grounds
from tests.kit.ensembles import Made
from tests.kit.programs import environment

PARTS, TREES = 8, 400
LEAST_CPU_S = 60
MOST_REASON_CHARS = 300
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
    """The round "fit" in turns with one process, and with the peers that are installed."""
    if problem := made_sets.missing():
        yield Case(name="ensembles-fit", skipped=problem)
        return
    with grounds(folder / "cluster", AT_WORK, AT_WORK) as ground:
        yield _fit(ground, options, folder)


def _fit(ground: Grounds, options: Options, folder: Path) -> Case:
    trees, parts = (5, 2) if options.small else (TREES, PARTS)
    rows = folder / "rows.npz"
    others = peers.all_of(rows, parts, trees, options.against)
    out = {peer.name: peer.why_not() for peer, _ in others}
    ours: list[float] = []
    theirs: dict[str, list[float]] = {peer.name: [] for peer, _ in others}
    single: list[Mapping[str, Any]] = []
    for seed in range(options.repeat):
        given = {"kind": f"rf:trees={trees}", "parts": parts, "by": "all", "seed": seed}
        found = ground.train(made_sets.LETTER, {"model": f"letters-{seed}", **given}, "ensemble")
        [row] = [row for row in found.curve if row["kind"] == "fit"]
        ours.append(float(row["wall_s"]))
        single.append(_single(given))
        if single[-1]["bytes"] != [one["size_bytes"] for one in found.report["sub_models"]]:
            raise Failed("one process and the cluster have fitted other sub-models")
        test_y = peers.write(Made(made_sets.LETTER, **given), rows)
        for peer, number in others:
            if out[peer.name]:
                continue
            try:
                theirs[peer.name].append(number / peers.fit_s(peer, folder / "said.json", test_y, found.accuracy))
            except Failed as error:
                out[peer.name] = " ".join(str(error).split())[:MOST_REASON_CHARS]
                theirs[peer.name] = []
    cpu_s = float(single[-1]["cpu_s"])
    work = f"fit {parts} x rf:trees={trees} of letters, 2 nodes of 1 slot"
    return Case(
        name="ensembles-fit",
        problem="" if options.small or cpu_s >= LEAST_CPU_S else f"{cpu_s:.0f} s of CPU are too few to tell",
        rows=[
            Row(
                work=work, against="one process, one thread, one after another", ours=ours,
                theirs=[float(one["s"]) for one in single], goal=Goal(">=", 1.7),
                note=f"{cpu_s:.0f} s of CPU in one process",
            ),
            *(
                Row(
                    work=f"{work}: trees", against=peer.name, ours=[parts * trees / each for each in ours],
                    theirs=theirs[peer.name], unit="/s", more_is_better=True, note=peer.note, skipped=out[peer.name],
                )
                for peer, _ in others
            ),
        ],
    )  # fmt: skip


def _single(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same sub-models in a process of its own: seconds, and the bytes of each."""
    told: Mapping[str, Any] = json.loads(
        subprocess.run(
            [sys.executable, "-c", SINGLE, str(made_sets.LETTER), json.dumps(given)],
            env=environment(**AT_WORK), check=True, capture_output=True, text=True,
        ).stdout
    )  # fmt: skip
    return told
