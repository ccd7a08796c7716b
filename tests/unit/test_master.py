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


def test_a_master_takes_up_a_run_whose_job_is_installed_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed = SimpleNamespace(jobs={}, has_changed=lambda: True, look=lambda: None)
    monkeypatch.setattr(catalog, "installed", installed)
    taken: list[str] = []

    class Supervisor:
        over = False

        def __init__(self, app: Any, job: Any, run: str, *_: Any) -> None:
            taken.append(run)

        def __enter__(self) -> Supervisor:
            return self

    monkeypatch.setattr(runs_master, "Supervisor", Supervisor)
    row = RunRow(job="later", state="running", lease_until_ms=0)
    runs = SimpleNamespace(listed=lambda: ["later-1"], rows=lambda runs, *_: (1.0, dict.fromkeys(runs, row)))
    stores: Any = SimpleNamespace(ledger=SimpleNamespace(runs=runs), nodes=None)
    app: Any = None
    looker = runs_master.Master(app, stores, settings.load(), "me")
    for _ in range(2):
        looker.look()
    assert taken == []
    assert caplog.text.count("run later-1 is of a job that is not installed here: later") == 1
    installed.jobs["later"] = dataclasses.replace(catalog.WORDCOUNT, name="later")
    looker.look()
    assert taken == ["later-1"]
