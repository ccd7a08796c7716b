"""Only slots import PyTorch: neither who submits a training nor who coordinates its rounds does."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import settings
from cluster.stores import Stores
from tests.kit.programs import RedisServer, Worker, environment
from tests.kit.waiting import wait_until

HEAVY = {"torch", "sklearn"}
TRAIN = ("--job", "train", "--model", "odd", "--net", "mlp:8", "--shards", "2", "--steps", "5")


def command(*arguments: str | Path) -> list[str]:
    """The command line, which then writes each module that it imports to stderr."""
    return [sys.executable, "-X", "importtime", "-m", "cluster", *map(str, arguments)]


def imported(told: str) -> set[str]:
    """The packages that were imported."""
    return {name.partition(".")[0] for name in re.findall(r"^import time:.*\| +(\S+)$", told, re.MULTILINE)}


def ended(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, timeout=90, check=True
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    rows = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, X=rows, y=(rows[:, 0] > 0).astype(int))
    return path


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node, whose steps are slow enough to be caught at."""
    folder = tmp_path_factory.mktemp("cluster")
    with RedisServer(folder / "redis") as server, Worker("one", server.url, folder, CLUSTER_TEST_STEP_S="0.02"):
        yield server.url


def test_what_a_process_imports_is_seen() -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import torch"], capture_output=True, text=True, check=True
    )

    assert "torch" in imported(told.stderr)


@pytest.mark.parametrize("arguments", [("--help",), ("submit", "--help"), ("submit", "--job", "train", "--help")])
def test_no_help_imports_a_heavy_library(arguments: tuple[str, ...]) -> None:
    found = imported(ended(*arguments).stderr)

    assert "click" in found
    assert not found & (HEAVY | {"numpy"})


def test_a_submitter_of_a_training_imports_no_torch(source: Path, url: str) -> None:
    found = imported(ended("submit", "-q", *TRAIN, "--rounds", "3", source, "--broker", url).stderr)

    assert "numpy" in found, "it has coordinated no rounds"
    assert not found & HEAVY


def test_a_master_that_coordinates_rounds_imports_no_torch(source: Path, url: str) -> None:
    slow = ("--job", "train-padded", *TRAIN[2:], "--rounds", "20")
    ledger = Stores.connect(settings.load(broker_url=url)).ledger
    before = {each.run for each in ledger.runs.latest(100)}
    submitter = subprocess.Popen(
        command("submit", "-q", *slow, source, "--broker", url), env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        [run] = wait_until("there is a run", lambda: {each.run for each in ledger.runs.latest(100)} - before, 60)
        wait_until("a round is closed", lambda: (row := ledger.rounds.of(run)) and row.round >= 0, 60)
    finally:
        submitter.kill()
        submitter.wait()
    master = subprocess.Popen(
        command("master", "--broker", url),
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        # It publishes the model of a run that nobody else has published.
        wait_until("the run is over", lambda: ledger.runs.progress(run).state != "running", 60)
        wait_until("its model is published", lambda: (row := ledger.runs.row(run, "report")) and row.report, 60)
        master.send_signal(signal.SIGTERM)
        _, told = master.communicate(timeout=30)
    finally:
        master.kill()
        master.communicate()

    assert ledger.runs.progress(run).state == "done"
    assert "numpy" in imported(told), "it has coordinated no rounds"
    assert not imported(told) & HEAVY
