"""The examples on the pages are run as they stand there, where that takes some seconds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.programs import ROOT, Worker, environment

README = ROOT / "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as that of the clone: with the examples and, in ``bin``, the commands."""
    pytest.importorskip("PIL", reason="OCR is not installed")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cluster").write_text(f'#!/bin/sh\nexec {sys.executable} -m cluster "$@"\n')
    (tmp_path / "bin" / "cluster").chmod(0o755)
    return tmp_path


def test_the_session_of_the_readme_prints_what_it_shows(folder: Path, broker: str) -> None:
    """On a ready cluster: with a private one it is the same, and slower."""
    [block] = re.findall(r"## A session\n\n((?: {4}.*\n)+)", README.read_text())
    lines = [line[4:] for line in block.splitlines() if "activate" not in line]
    script = "\n".join(line[2:] for line in lines if line.startswith("$ "))
    env = environment(CLUSTER_BROKER_URL=broker, PATH=f"{folder / 'bin'}:/usr/bin:/bin")
    with Worker("office", broker, folder):
        done = subprocess.run(["sh", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert plain("\n".join(line for line in lines if not line.startswith("$ "))) <= plain(printed)


def plain(text: str) -> set[str]:
    """The words of an output, without ids, times and rates."""
    return set(re.sub(r"-[0-9a-f]{8}\b|[\d.]+(?= s\b|/s)", "", text).split())
