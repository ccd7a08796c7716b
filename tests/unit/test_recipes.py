"""The programs that tests need besides Python: ``.ci/run`` installs them, or says which tests are left out."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit.programs import ROOT, find_program

RECIPES = ("run", "check", "test", "test-faults", "test-serving", "test-scans", "test-page", "test-train")


@pytest.fixture
def ci(tmp_path: Path) -> Path:
    """A folder that is all the path of ``.ci/run``: no program that tests need, and a make that does nothing."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("bash", "dirname", "env"):
        (bare / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name} on this machine"))
    program(bare, "make", 'echo "made $*"')
    return bare


def program(folder: Path, name: str, line: str) -> None:
    (folder / name).write_text(f"#!/usr/bin/env bash\n{line}\n")
    (folder / name).chmod(0o755)


def run_ci(bare: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": str(bare)}
    return subprocess.run([str(ROOT / ".ci" / "run")], env=env, capture_output=True, text=True, check=False)


def test_ci_as_root_installs_what_tests_start(ci: Path) -> None:
    program(ci, "id", "echo 0")
    program(ci, "apt-get", 'echo "apt-get $*"')
    done = run_ci(ci)
    assert done.returncode == 0, done.stderr
    assert "install -y --no-install-recommends redis-server redis-sentinel openssl iproute2" in done.stderr
    assert done.stdout.splitlines() == [f"made {recipe}" for recipe in RECIPES]


@pytest.mark.parametrize(("user", "said"), [(0, "apt-get failed"), (1000, "only root installs them")])
def test_ci_without_apt_says_which_tests_are_left_out(ci: Path, user: int, said: str) -> None:
    program(ci, "id", f"echo {user}")
    program(ci, "apt-get", "exit 100")
    done = run_ci(ci)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert "redis-server redis-sentinel" in done.stderr
    assert done.stdout.splitlines() == [f"made {recipe}" for recipe in RECIPES]


def test_a_missing_program_skips_here_and_fails_on_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt install some-package"):
        find_program("never-heard-of", "some-package")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="apt install some-package"):
        find_program("never-heard-of", "some-package")
