"""`make serve-example`, smaller: an ensemble is trained, predicts a file, is served and asked, each by one command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit import serve_example


@pytest.mark.timeout(600)
def test_an_ensemble_is_trained_and_served_by_a_command_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    table = serve_example.draw(tmp_path / "flowers.csv", 800)
    report = serve_example.main(tmp_path / "out", table, 600, 5)
    told = capsys.readouterr().out
    assert report["test"]["accuracy"] > 0.9
    assert len((tmp_path / "out" / "predicted.csv").read_text().splitlines()) == 201
    assert "2 of 2" in told  # replicas, by `cluster services`
    assert '"missing":{}' in told  # the pasted line was answered
