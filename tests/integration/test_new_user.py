"""What a person does first: clone, `make run`, twice. The slowest test: it installs everything anew."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.programs import ROOT, Worker, environment, find_redis

BASE_LIMIT_MB = 120


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows, as the next commit would have it."""
    find_redis()
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("clone") / "cluster"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_make_run_sets_itself_up_and_prints_the_text_of_the_example_pictures(clone: Path) -> None:
    first = run(clone, "make", "run")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Wednesday morning" in first.stdout
    assert "9 of 9 done" in first.stderr
    again = run(clone, "make", "run", timeout_s=60)
    assert again.returncode == 0
    assert "pip" not in again.stdout

    texts = clone / "texts.json"
    done = run(clone, clone / ".venv/bin/cluster", "submit", "--job", "ocr", "deploy/examples/images", "-o", texts)
    assert done.returncode == 0, done.stderr
    expected = {path.relative_to(clone / "deploy/examples/images").as_posix() for path in images(clone)}
    assert {page.partition("#")[0] for page in json.loads(texts.read_text())} == expected


def images(clone: Path) -> list[Path]:
    return [path for path in (clone / "deploy/examples/images").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_base_install_is_small_and_says_what_it_leaves_out(clone: Path, tmp_path: Path, redis_url: str) -> None:
    venv = tmp_path / "venv"
    run(tmp_path, sys.executable, "-m", "venv", venv)
    packages = next(venv.glob("lib/python*/site-packages"))
    before = size_mb(packages)
    done = run(tmp_path, venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", clone)
    assert done.returncode == 0, done.stderr
    assert size_mb(packages) - before < BASE_LIMIT_MB
    doctor = run(tmp_path, venv / "bin/cluster", "doctor")
    assert doctor.returncode == 0, doctor.stderr
    assert "ocr: no, Pillow is not installed; to add it: " in doctor.stdout
    assert "wordcount: yes" in doctor.stdout
    with Worker("bare", redis_url, tmp_path, python=venv / "bin/python") as worker:
        assert re.search(r"this machine does not do (\S+, )*ocr\b.*: `cluster doctor` says why", worker.text())
        listed = run(tmp_path, venv / "bin/cluster", "nodes", "--json", "--broker", redis_url)
        [jobs] = [node["jobs"] for node in json.loads(listed.stdout) if node["name"] == "bare@test"]
        assert "wordcount" in jobs
        assert "ocr" not in jobs  # it takes no work that it cannot do


def run(folder: Path, *command: str | Path, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a program as a person would who has none of our test environment."""
    env = {name: value for name, value in environment().items() if name not in ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
