"""`make scans-example`, smaller: scans of all kinds become PDFs with text, though a worker is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import scans_example


@pytest.mark.timeout(600)
def test_a_folder_of_scans_becomes_searchable_though_a_worker_dies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = scans_example.main(tmp_path, frames=8, half=3)
    told = capsys.readouterr().out
    assert sum(map(len, wanted.values())) == 17
    assert "kill -9 of the second worker" in told
    assert "the same command again read nothing" in told
