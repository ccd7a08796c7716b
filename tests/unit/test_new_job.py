"""What ``cluster jobs new`` writes, and which names it refuses."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster import errors
from cluster.cli import jobs, new_job


def test_a_new_job_has_its_name_everywhere(tmp_path: Path) -> None:
    written = new_job.write("long-words", tmp_path)
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for path in written:
        assert new_job.NAME not in path.read_text()
        assert new_job.MODULE not in path.read_text()
    [project] = [path for path in written if path.name == "pyproject.toml"]
    assert tomllib.loads(project.read_text())["project"]["entry-points"]["cluster.jobs"] == {
        "long-words": "long_words:JOB"
    }


def test_the_test_of_a_new_job_passes(tmp_path: Path) -> None:
    new_job.write("long-words", tmp_path)
    command = [sys.executable, "-m", "unittest"]
    done = subprocess.run(command, cwd=tmp_path / "long-words", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Ran 4 tests" in done.stderr


@pytest.mark.parametrize("name", ["", "-a", "a-", "3d", "a b", "a/b", "../a", "ö", "a" * 56])
def test_a_name_that_no_job_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="cannot be the name of a job"):
        new_job.write(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ocr", "json", "tasks", "class", "test-new-job-unit"])
def test_a_name_that_is_taken_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_new_job_unit.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(errors.UsageError, match="already"):
        new_job.write(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_new_job_unit.py"]


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("birds").mkdir()
    refused = CliRunner().invoke(jobs.command, ["new", "birds"])
    assert isinstance(refused.exception, errors.UsageError)
    assert "nothing was written" in str(refused.exception)
    assert list(Path("birds").iterdir()) == []
