"""Trials of bundles in processes of their own, one of which waits for the next bundle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.bundles import trial
from cluster.bundles.trial import Trials
from tests.kit.programs import ROOT, environment
from tests.kit.waiting import wait_until

ORPHAN = """
import os, pathlib, sys
from cluster.bundles import trial
trial.REST_S = 0.0
trials = trial.Trials()
trials.problem("measure", {}, pathlib.Path("none"))
trials.have_waiting(["measure"])
if not os.fork():
    sys.stdin.read()  # a child that holds the pipes of its parent
    os._exit(0)
print(*trials.waiting(), flush=True)
sys.stdin.read()
"""


def running(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


@pytest.fixture(scope="module")
def tried() -> Trials:
    """A job was tried."""
    made = Trials()
    assert made.problem("measure", {}, Path("none")) == ""
    return made


@pytest.fixture
def trials(tried: Trials, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trials]:
    """The next trial of it may wait at once."""
    monkeypatch.setattr(trial, "REST_S", 0.0)
    monkeypatch.setattr(trial, "FAILED_REST_S", 0.0)
    monkeypatch.setattr(tried, "_rests_until", {"measure": 0.0})
    yield tried
    tried.have_waiting(())


def test_the_process_that_waits_does_one_trial(trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials.have_waiting(["measure", "ocr"])
    [waiting] = trials.waiting()  # ocr was never tried here: nobody knows what to import
    monkeypatch.setattr(trial, "_start", None)
    monkeypatch.setattr(trial, "REST_S", 3.0)
    assert trials.problem("measure", {}, tmp_path / "none") == ""
    assert not psutil.pid_exists(waiting)
    assert not trials.waiting()
    trials.have_waiting(["measure"])  # not yet: what follows from the trial goes first
    assert not trials.waiting()


def test_a_bundle_with_packages_is_tried_by_a_new_process(trials: Trials, tmp_path: Path) -> None:
    trials.have_waiting(["measure"])
    (tmp_path / "packages").mkdir()
    assert trials.problem("measure", {}, tmp_path / "packages") == ""
    assert trials.waiting()


def test_a_process_that_waits_in_vain_costs_no_trial(trials: Trials, tmp_path: Path) -> None:
    trials.have_waiting(["measure"])
    [waiting] = trials.waiting()
    os.kill(waiting, signal.SIGKILL)
    wait_until("it is dead", lambda: not trials.waiting())
    assert trials.problem("measure", {}, tmp_path / "none") == ""
    trials.have_waiting(["measure"])
    [waiting] = trials.waiting()
    trials.have_waiting(())
    assert not psutil.pid_exists(waiting)


def test_the_process_that_waits_ends_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=environment(),
    )  # fmt: skip
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        waiting = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        wait_until("it has ended", lambda: not running(waiting))
