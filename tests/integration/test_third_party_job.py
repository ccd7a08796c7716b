"""A job that another distribution brings, installed as a person installs it, run by the real command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import orjson
import pytest

from tests.kit.programs import JOBS, ROOT, Worker, cluster, find_redis, start_cluster
from tests.kit.waiting import wait_until

PACKAGE = ROOT / "deploy" / "examples" / "linecount"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the example in it, installed without the network."""
    for needed in ("pip", "hatchling"):
        if not find_spec(needed) and not os.environ.get("CI"):
            pytest.skip(f"{needed} is not installed (it comes with `make test`)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--target", str(folder), str(PACKAGE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return str(folder)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "more").mkdir(parents=True)
    poem = "".join(f"verse {number}, größer\n\n" for number in range(500))
    (folder / "long.txt").write_text(poem + "and no newline at the end", encoding="utf-8")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "more" / "windows.txt").write_bytes(b"one\r\n\r\ntwo\r\n")
    (folder / "more" / "latin.txt").write_bytes(b"caf\xe9\n\n\xe9\n")
    return folder


def counted_by_hand(folder: Path, min_length: int) -> dict[str, int]:
    """What the job promises, on whole files."""
    counts = {}
    for path in folder.rglob("*.txt"):
        with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            lines = [line.removesuffix("\n").removesuffix("\r") for line in stream]
        counts[path.relative_to(folder).as_posix()] = sum(len(line) >= min_length for line in lines)
    return counts


def test_the_job_of_another_distribution_is_listed(installed: str) -> None:
    listed = cluster("jobs", "--json", settings={"PYTHONPATH": installed})
    assert listed.returncode == 0, listed.stderr
    jobs = {job["name"]: job for job in orjson.loads(listed.stdout)}
    assert {"ocr", "wordcount", "linecount"} <= set(jobs)
    parts = [jobs["linecount"][part] for part in ("split", "task", "aggregate")]
    assert parts == ["splitters.lines.split", "linecount.count_lines", "linecount.add"]
    assert not jobs["linecount"]["why_unavailable"]
    assert [option["flag"] for option in jobs["linecount"]["options"]] == ["--min-length", "--chunk-size"]


@pytest.mark.parametrize("min_length", [0, 1, 16])
def test_a_job_of_another_distribution_runs(installed: str, texts: Path, min_length: int) -> None:
    find_redis()
    done = cluster(
        "submit", "--job", "linecount", "--min-length", str(min_length), "--chunk-size", "256", texts,
        settings={"PYTHONPATH": installed},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout) == counted_by_hand(texts, min_length)


def test_a_job_installed_later_is_served_without_a_restart(
    installed: str, texts: Path, broker: str, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    with Worker("first", broker, tmp_path, "-c", "1", PYTHONPATH=f"{JOBS}{os.pathsep}{site}") as worker:
        arguments = ("submit", "--job", "linecount", texts, "--broker", broker)
        with start_cluster(*arguments, settings={"PYTHONPATH": installed}) as submit:
            assert submit.stderr is not None
            why = "first@test: does not have the job linecount; install its package there, its worker then finds it"
            assert any(why in line for line in submit.stderr)
            shutil.copytree(installed, site, dirs_exist_ok=True)
            out, _ = submit.communicate(timeout=60)
        assert submit.returncode == 0
        assert orjson.loads(out) == counted_by_hand(texts, 0)
        assert "this node now serves" in worker.text()
        [info] = site.glob("*.dist-info")
        metadata = info.rename(site / "linecount-99.dist-info") / "METADATA"
        metadata.write_text(re.sub("^Version: .*$", "Version: 99", metadata.read_text(), flags=re.MULTILINE))
        advice = "to 99; start the worker again to use it"
        wait_until("it asks for a restart", lambda: advice in cluster("nodes", "--broker", broker).stdout)


def test_an_option_of_another_distributions_job_is_checked(installed: str, texts: Path) -> None:
    refused = cluster("submit", "--job", "linecount", "--min-length", "-1", texts, settings={"PYTHONPATH": installed})
    assert refused.returncode == 2
    assert "--min-length" in refused.stderr
    assert not refused.stdout
