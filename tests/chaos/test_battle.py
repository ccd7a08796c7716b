"""A short battle: what `python -m tests.benchmarks battle` is for, and that it still works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.programs import ROOT, environment, find_redis


@pytest.mark.timeout(400)
def test_in_a_short_battle_no_chunk_is_lost_or_counted_twice(tmp_path: Path) -> None:
    find_redis()
    target = tmp_path / "figures.json"
    flags = ["--system", "cluster", "--kills", "8", "--seed", "3", "--json", str(target)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "battle", *flags],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [case] = json.loads(target.read_bytes())["cases"]
    assert case["notes"]["kills"] == 8
    assert case["notes"]["chunks"] >= 100
    assert case["notes"]["killed node: chunks that began again"] > 0
