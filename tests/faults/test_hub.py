"""``cluster up`` as a hub: what it keeps over a restart, and what it says before it goes."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cluster import errors, redis_client, settings
from cluster.embedded import LocalCluster, hub
from cluster.stores import Stores
from tests.kit.held import Held
from tests.kit.jobs.cluster_testjobs import MEASURE
from tests.kit.programs import Program, Worker, environment, find_redis, mark, marked, start_cluster
from tests.kit.waiting import line_with, wait_until


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of programs that do not outlive the test."""
    find_redis()
    marks = mark()
    yield marks
    for process in marked(marks, tmp_path):
        process.kill()


def test_data_port_and_password_outlast_a_restart(tmp_path: Path) -> None:
    find_redis()
    with hub.opened(tmp_path / "hub") as kept, LocalCluster(kept=kept) as local:
        url = local.url
        redis_client.connect(url).set("a run", "is here")
    with hub.opened(tmp_path / "hub") as kept, LocalCluster(kept=kept) as local:
        assert local.url == url
        assert redis_client.connect(url).get("a run") == b"is here"


def test_data_that_redis_cannot_read_is_named(tmp_path: Path) -> None:
    find_redis()
    with hub.opened(tmp_path / "hub") as kept, LocalCluster(kept=kept) as local:
        redis_client.connect(local.url).set("a run", "is here")
    for file in kept.data.rglob("*.aof"):
        file.write_bytes(b"nonsense" * 1000)
    why = rf"(?s)did not start on .* with what is in {kept.data}:\n.*Bad file format"
    with (
        hub.opened(tmp_path / "hub") as kept,
        pytest.raises(errors.NoRedisServer, match=why),
        LocalCluster(kept=kept),
    ):
        pass


def url_of(up: Program) -> str:
    assert up.stdout is not None
    return line_with("export ", up.stdout).strip().partition("=")[2]


@pytest.mark.slow
def test_a_hub_that_was_killed_goes_on_with_its_runs(marks: dict[str, str], tmp_path: Path) -> None:
    arguments = ("up", "--no-worker", "--data", tmp_path / "hub")
    with start_cluster(*arguments, settings=marks) as up, Held(tmp_path, 5) as held:
        url = url_of(up)
        with (
            Worker("far", url, tmp_path, "-c", "1", **marks) as worker,
            start_cluster("submit", "--job", "measure", *held.options, held.source, "--broker", url) as submit,
        ):
            wait_until("a chunk is begun", held.begun)
            up.kill()
            with start_cluster(*arguments, settings=marks) as again:
                assert url_of(again) == url
                held.release()
                out, err = submit.communicate(timeout=60)
                assert submit.returncode == 0, err
                assert json.loads(out) == held.answer()
                assert worker.process.poll() is None
                again.send_signal(signal.SIGTERM)
                assert again.wait(30) == 0


def test_ctrl_c_during_a_run_must_be_meant(marks: dict[str, str], tmp_path: Path) -> None:
    """At a terminal: what a program sends is not asked about."""
    command = [sys.executable, "-m", "cluster", "up", "--no-worker"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, environment(**marks))
    said = b""

    os.set_blocking(terminal, False)

    def hear(words: bytes) -> None:
        def heard() -> bool:
            nonlocal said
            with suppress(OSError):  # it says nothing now, or has ended
                said += os.read(terminal, 4096)
            return words in said

        wait_until(f"it says {words!r}", heard)

    hear(b"Ctrl-C ends it")
    url = next(word for word in said.decode().split() if "redis://" in word).partition("=")[2]
    ledger = Stores.connect(settings.load(broker_url=url)).ledger
    ledger.runs.create("measure-1", "measure", "", {}, "a test", MEASURE.capability)
    wait_until("it coordinates the run, so it is up", lambda: ledger.runs.status("measure-1").coordinator)
    os.write(terminal, b"\x03")
    hear(b"Ctrl-C again within 10 s ends it")
    assert b"measure-1 (0 of ? done): this is lost with the cluster" in said
    assert psutil.pid_exists(pid)
    redis_client.check(url)
    os.write(terminal, b"\x03")
    hear(b"ending the cluster")
    assert psutil.Process(pid).wait(timeout=30) == 0
    os.close(terminal)
