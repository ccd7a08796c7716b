"""The benchmarks of training still run, and check what they are told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.measure import Failed
from tests.benchmarks.training import accuracy, rows
from tests.benchmarks.training.trained import Trained
from tests.kit.programs import ROOT, environment, find_redis


@pytest.mark.timeout(200)
def test_benchmarks_of_training_work_at_their_small_size(tmp_path: Path) -> None:
    find_redis()
    if problem := rows.missing():
        pytest.skip(problem)
    target = tmp_path / "figures.json"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "training", "training-speed", "--small", "--json", str(target)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = [row for case in json.loads(target.read_bytes())["cases"] for row in case["rows"]]
    assert sum(row["work"].startswith("letters") for row in found) == 5
    assert all(row["ours"] for row in found)


def report(**traffic: float) -> Trained:
    """Of six rounds of eight shards, of 25 steps each, with a hundredth of the bytes of synchronous training."""
    whole = accuracy.synchronous_bytes(accuracy.letters(0, small=True), rows.parameters())
    told = {"up_bytes": whole / 200, "down_bytes": whole / 200, "share_of_sync_fp32": 0.01, **traffic}
    found: Mapping[str, Any] = {"test": {"accuracy": 0.9}, "traffic": told, "late": 0}
    curve = [{"kind": "train", "steps": 200}] * 6
    return Trained("train-1", found, curve, 0.0, 1.0, redis_bytes=int(whole / 90))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (report(share_of_sync_fp32=0.005), "share of 0.005"),
        (report()._replace(redis_bytes=1000), "Redis moved 1000"),
        (report()._replace(curve=[{"kind": "train", "steps": 200}] * 5), "1000 steps were made"),
    ],
)
def test_a_report_that_cannot_be_right_is_refused(found: Trained, said: str) -> None:
    given = accuracy.letters(0, small=True)
    accuracy.check(report(), given)

    with pytest.raises(Failed, match=said):
        accuracy.check(found, given)
