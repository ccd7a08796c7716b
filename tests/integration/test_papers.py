"""The examples on the pages are run as they stand there, where that takes some seconds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, broker: str) -> Iterator[str]:
    """The URL of a cluster with a worker: on a private one the examples do the same, and take longer."""
    with Worker("office", broker, tmp_path_factory.mktemp("office")):
        yield broker


def test_the_session_of_the_readme_prints_what_it_shows(folder: Path, ready: str) -> None:
    [block] = re.findall(r"## A session\n\n((?: {4}.*\n)+)", README.read_text())
    lines = [line[4:] for line in block.splitlines() if "activate" not in line]
    script = "\n".join(line[2:] for line in lines if line.startswith("$ "))
    env = environment(CLUSTER_BROKER_URL=ready, PATH=f"{folder / 'bin'}:/usr/bin:/bin")
    done = subprocess.run(["sh", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert plain("\n".join(line for line in lines if not line.startswith("$ "))) <= plain(printed)


def test_the_script_of_the_readme_reads_scans(folder: Path, ready: str) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (folder / "scans").symlink_to(ROOT / "deploy" / "examples" / "images" / "letters")
    script = [sys.executable, "-c", f"{code}print(len(texts))"]
    env = environment(CLUSTER_BROKER_URL=ready)
    done = subprocess.run(script, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count = sum(path.is_file() for path in (folder / "scans").rglob("*"))
    assert done.stdout.splitlines()[-2:] == [f"{count} pictures read", f"{count}"]


def plain(text: str) -> set[str]:
    """The words of an output, without ids, times and rates."""
    return set(re.sub(r"-[0-9a-f]{8}\b|[\d.]+(?= s\b|/s)", "", text).split())
