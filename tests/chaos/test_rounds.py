"""Rounds under fire: what `python -m tests.benchmarks training-kills` is for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.programs import ROOT, environment, find_redis


@pytest.mark.timeout(400)
def test_each_part_of_a_round_counts_once_or_is_named(tmp_path: Path) -> None:
    find_redis()
    target = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "training-kills", "--json", str(target)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [case] = json.loads(target.read_bytes())["cases"]
    notes = case["notes"]
    assert notes["kill -9 of a node"] == 8
    assert notes["parts"] == 240 == notes["counted once"] + notes["late, each named"]
