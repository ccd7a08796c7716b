"""Jobs of other distributions that are installed, upgraded or mended while the process runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cluster.installed import Installed

CODE = """
from aggregators import by_name
from cluster.job import Job
from splitters import lines
from tasks import Part

JOB = Job(
    name="{name}", about="version {version}", split=lines.split, task=lambda chunk: Part({{}}), aggregate=by_name.join
)
"""


def install(folder: Path, name: str, version: str = "1.0", code: str = CODE) -> None:
    """As pip does it: the code first, then what is told of it; of another version nothing is left."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(code.format(name=name, version=version))
    for old in folder.glob(f"{module}-*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{module}.py,sha256={hash(code)},\n")
    (info / "entry_points.txt").write_text(f"[cluster.jobs]\n{name} = {module}:JOB\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr("cluster.installed.SETTLE_S", 0)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # pip writes it as it installs, before others look
    return tmp_path


def test_a_job_installed_later_is_found_by_the_next_look(folder: Path) -> None:
    installed = Installed([])
    assert "later" not in installed.jobs
    assert not installed.has_changed()
    install(folder, "later")
    assert installed.has_changed()
    installed.look()
    assert installed.jobs["later"].about == "version 1.0"
    assert not installed.has_changed()


def test_a_look_into_the_middle_of_an_installation_is_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.installed.SETTLE_S", 60)
    install(folder, "slow")
    entry_points = folder / "slow-1.0.dist-info" / "entry_points.txt"
    written = entry_points.read_text()
    entry_points.write_text("")
    installed = Installed([])
    assert "slow" not in installed.jobs
    entry_points.write_text(written)
    installed.look()
    assert "slow" in installed.jobs


def test_an_upgraded_job_stays_and_asks_for_a_restart(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    install(folder, "grown")
    installed = Installed([])
    before = installed.jobs["grown"]
    install(folder, "grown", "1.1")
    installed.look()
    assert installed.jobs["grown"] is before
    why = "its package grown was upgraded from 1.0 to 1.1; start the worker again to use it"
    assert installed.outdated["grown"] == why
    installed.look()
    assert caplog.text.count(why) == 1


def test_a_job_of_the_same_version_installed_anew_is_noticed(folder: Path) -> None:
    install(folder, "anew")
    installed = Installed([])
    assert "anew" in installed.jobs
    install(folder, "anew", code=CODE + "\n")
    installed.look()
    assert installed.outdated["anew"] == "its package anew was installed anew; start the worker again to use it"


def test_a_job_that_cannot_be_loaded_is_tried_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    install(folder, "half", code="import nothing_of_that_name\n")
    installed = Installed([])
    installed.look()
    assert caplog.text.count("the job half of half:JOB cannot be loaded: No module named 'nothing_of_that_name'") == 1
    (folder / "half.py").write_text(CODE.format(name="half", version="mended"))
    installed.look()
    assert installed.jobs["half"].about == "version mended"


def test_no_job_takes_the_name_of_another(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Installed([])
    install(folder, "taken")
    job = first.jobs["taken"]
    second = Installed([job])
    assert second.jobs["taken"] is job
    assert "the job taken of taken:JOB is left out: the name is taken" in caplog.text
