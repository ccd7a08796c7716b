"""A job that ``cluster jobs new`` wrote, and the steps that it prints, typed as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.kit.programs import environment, find_redis


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of a new virtual environment that also has the packages of this one."""
    for needed in ("pip", "hatchling", "editables"):
        if not find_spec(needed) and not os.environ.get("CI"):
            pytest.skip(f"{needed} is not installed (it comes with `make test`)")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    places = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")})
    (Path(places) / "also.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return tmp_path / "env" / "bin" / "python"


@pytest.mark.slow
def test_the_steps_after_a_new_job_give_its_result(python: Path, tmp_path: Path) -> None:
    find_redis()
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    env = environment(PYTHONPATH="", **offline)

    def typed(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=100)

    new = typed(str(python), "-m", "cluster", "jobs", "new", "long-words")
    assert new.returncode == 0, new.stderr
    _, _, steps = new.stdout.partition("Next:\n")
    assert str(python) in steps
    assert sys.executable not in steps
    done = typed("sh", "-ec", steps)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 4 tests" in done.stderr
    assert '"sea/hen.txt": 1' in done.stdout
    assert '"sea/tide.txt": 0' in done.stdout
