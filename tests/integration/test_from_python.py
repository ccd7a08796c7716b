"""The code of docs/howto/from-python.md does what the page says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import settings
from cluster.stores import Stores
from tests.kit.programs import ROOT, Worker, environment

PAGE = ROOT / "docs" / "howto" / "from-python.md"
IMAGES = ROOT / "deploy" / "examples" / "images"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("scans", "letters"):
        (tmp_path / name).mkdir()
    for number in range(4):
        (tmp_path / "scans" / f"{number}.png").write_bytes((IMAGES / "opening-hours.jpg").read_bytes())
    for name in ("a", "b"):
        (tmp_path / "letters" / f"{name}.txt").write_text("some words")
    return tmp_path


def run(code: str, folder: Path, **more: str) -> str:
    (folder / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment(**more), capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_code_of_the_page_runs(folder: Path) -> None:
    pytest.importorskip("PIL")
    code = "\n".join(blocks())
    said = run(f"{code}\nprint((len(texts), counts['page'], first, second, sizes))", folder)
    told = ast.literal_eval(said.splitlines()[-1])
    assert told == (4, 3, {"some": 2, "words": 2}, {"more": 1, "one": 1}, {"a": 2, "b": 3})


@pytest.fixture
def workers(broker: str, tmp_path: Path) -> Iterator[None]:
    with Worker("a", broker, tmp_path / "a", "-c", "1"), Worker("b", broker, tmp_path / "b", "-c", "1"):
        yield


@pytest.mark.usefixtures("workers")
def test_the_first_script_runs_on_the_workers_of_a_cluster(broker: str, folder: Path) -> None:
    pytest.importorskip("PIL")
    script = blocks()[0]
    assert len(script.splitlines()) <= 8
    said = run(f"{script}\nprint(run.id, len(texts))", folder, CLUSTER_BROKER_URL=broker)
    id, number = said.splitlines()[-1].split()
    assert number == "4"
    done_by = Stores.connect(settings.load(broker_url=broker)).ledger.runs.status(id).nodes
    assert set(done_by) <= {"a@test", "b@test"}
    assert sum(done_by.values()) == 4
