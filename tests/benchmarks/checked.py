"""Word counts, measured and then compared with a plain count in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import measure, oracle
from tests.benchmarks.measure import Failed, Measured


def count_words(folder: Path, output: Path, repeat: int, *options: str) -> tuple[list[Measured], dict[str, int]]:
    """Count ``repeat`` times; gives the measurements, and how many words there are and how many distinct ones.

    Raises:
        Failed: A run failed, or gave a wrong answer.
    """
    runs, found = [], {}
    for _ in range(repeat):
        runs.append(measure.submit("wordcount", [folder], output, *options))
        found = _check(folder, output)
    return runs, found


def _check(folder: Path, output: Path) -> dict[str, int]:
    command = [sys.executable, "-S", "-E", oracle.__file__, str(output), str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=measure.TIMEOUT_S, check=False)
    if told.returncode:
        raise Failed(f"the answer is wrong: {told.stderr.strip()}")
    found: dict[str, int] = json.loads(told.stdout)
    return found
