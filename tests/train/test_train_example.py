"""`make train-example`, smaller: the commands that a person types, with a real worker that is killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kit import train_example

ROUNDS = 10


def test_letters_are_learnt_though_a_worker_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = train_example.main(tmp_path, 2600, {**train_example.OPTIONS, "rounds": ROUNDS})
    told = capsys.readouterr().out
    assert report["test"]["accuracy"] > 0.4  # one answer for all would be right for one letter of 26
    assert report["rounds"] == ROUNDS
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert {"bundle.json", "weights.safetensors"} <= {path.name for path in (tmp_path / "bundle").iterdir()}
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1 + ROUNDS + 2  # with those that only measure
    assert told.index(f"round {ROUNDS // 2 - 1} ") < told.index("kill -9") < told.index(f"round {ROUNDS - 1} ")
    assert "best accuracy" in told
    assert f"after {report['best_round']} of {ROUNDS} rounds" in told  # `cluster result` says so
    assert "a row for each true class" in told
    assert len(report["nodes"]) == 2
