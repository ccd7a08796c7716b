"""What one chunk costs, in milliseconds of processor time of each kind of process: what a run of many empty chunks
takes more than one of few, by chunk."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import Case, Options, measure
from tests.benchmarks.goals import Row
from tests.benchmarks.measure import Failed, Measured
from tests.kit.programs import JOBS

FEW, MANY, SMALL_MANY = 200, 5_200, 400
KINDS = ("submitter", "redis", "worker", "child")
ALL = "all together"


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """One case, with a row for each kind of process."""
    many = SMALL_MANY if options.small else MANY
    source = folder / "source.txt"
    source.write_text("whatever")
    rounds = [(_run(source, folder, FEW), _run(source, folder, many)) for _ in range(options.repeat)]
    costs: dict[str, list[float]] = {kind: [] for kind in (*KINDS, ALL)}
    for less, more in rounds:
        each = {kind: 1000 * (more.cpu_s[kind] - less.cpu_s[kind]) / (many - FEW) for kind in KINDS}
        for kind, milliseconds in (each | {ALL: sum(each.values())}).items():
            costs[kind].append(milliseconds)
    commands = statistics.median((more.redis_commands - less.redis_commands) / (many - FEW) for less, more in rounds)
    rows = [
        Row(
            work=f"an empty chunk, {kind}",
            against="-",
            ours=milliseconds,
            unit="ms CPU",
            note=f"{commands:.1f} Redis commands, those in scripts counted" if kind == "redis" else "",
        )
        for kind, milliseconds in costs.items()
    ]
    yield Case(name="cost", rows=rows)


def _run(source: Path, folder: Path, number: int) -> Measured:
    output = folder / "counts.json"
    measured = measure.submit("empty", [source], output, "--number", str(number), environment={"PYTHONPATH": str(JOBS)})
    if json.loads(output.read_bytes()) != {"items": number}:
        raise Failed(f"not all of {number} chunks were counted")
    return measured
