"""``cluster master`` that is told to stop, or meets a run of a job that it does not have."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from cluster import catalog, settings
from cluster.cli import master
from cluster.coordinator import master as runs_master
from cluster.job import Job
from cluster.ledger.row import RunRow


@pytest.mark.parametrize("flags", [["--shutdown-nodes"], []])
def test_a_master_that_is_stopped_before_it_is_at_work_asks_the_nodes_all_the_same(
    flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Stopped:
        def __init__(self, *_: Any) -> None:
            raise SystemExit(143)

    monkeypatch.setattr("cluster.coordinator.master.Master", Stopped)
    monkeypatch.setattr("cluster.redis_client.check", lambda url: None)
    monkeypatch.setattr("cluster.nodes.places.require", lambda *_: None)
    monkeypatch.setattr(master, "shut_down", asked.append)
    done = CliRunner().invoke(master.command, [*flags, "--broker", "redis://127.0.0.1:1"])
    assert done.exit_code == 0
    assert len(asked) == len(flags)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that a master takes up."""
    taken: list[str] = []

    class Supervisor:
        over = False

        def __init__(self, app: Any, job: Any, run: str, *_: Any) -> None:
            taken.append(run)

        def __enter__(self) -> Supervisor:
            return self

    monkeypatch.setattr(runs_master, "Supervisor", Supervisor)
    return taken


def installing(jobs: dict[str, Job]) -> Any:
    """A catalog with these jobs, which may change."""
    return SimpleNamespace(jobs=jobs, has_changed=lambda: True, look=lambda: None)


def looking_at(row: RunRow) -> runs_master.Master:
    """A master of a cluster with one run."""
    runs = SimpleNamespace(listed=lambda: ["later-1"], rows=lambda runs, *_: (1.0, dict.fromkeys(runs, row)))
    stores: Any = SimpleNamespace(ledger=SimpleNamespace(runs=runs), nodes=None)
    app: Any = None
    return runs_master.Master(app, stores, settings.load(), "me")


def test_a_master_takes_up_a_run_whose_job_is_installed_later(
    taken: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed = installing({})
    monkeypatch.setattr(catalog, "installed", installed)
    looker = looking_at(RunRow(job="later", state="running", lease_until_ms=0))
    for _ in range(2):
        looker.look()
    assert taken == []
    assert caplog.text.count("run later-1 is of a job that is not installed here: later") == 1
    installed.jobs["later"] = dataclasses.replace(catalog.WORDCOUNT, name="later")
    looker.look()
    assert taken == ["later-1"]


def test_a_master_without_numpy_leaves_trainings_to_others(
    taken: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert catalog.TRAIN.rounds is not None
    lacking = catalog.TRAIN.rounds._replace(why_unavailable=lambda: "numpy is not installed")
    jobs = {"train": dataclasses.replace(catalog.TRAIN, rounds=lacking)}
    monkeypatch.setattr(catalog, "installed", installing(jobs))
    looker = looking_at(RunRow(job="train", state="running", lease_until_ms=0))
    for _ in range(2):
        looker.look()
    assert taken == []
    assert caplog.text.count("run later-1 cannot be coordinated here: numpy is not installed") == 1
    jobs["train"] = catalog.TRAIN
    looker.look()
    assert taken == ["later-1"]


def test_a_master_leaves_a_paused_run_until_it_goes_on(taken: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        catalog, "installed", installing({"later": dataclasses.replace(catalog.WORDCOUNT, name="later")})
    )
    looking_at(RunRow(job="later", state="running", paused="by a test")).look()
    assert taken == []
    looking_at(RunRow(job="later", state="running")).look()
    assert taken == ["later-1"]
