"""Runs from Python: on a private cluster and on one that stays, in the background, interrupted, failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cluster
from cluster import client, errors, names, settings
from cluster.client import Client, Run
from cluster.job import Job
from cluster.stores import Stores
from splitters import Chunk, files
from tasks import Part
from tests.kit.programs import Worker, environment
from tests.kit.waiting import wait_until


@pytest.fixture(scope="module")
def private() -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUSTER_CONFIG", os.devnull)
        with cluster.local(slots=2, slots_in_use=100) as c:
            yield c


@pytest.fixture(scope="module")
def worker(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker("a", broker, tmp_path_factory.mktemp("worker"), "-c", "2") as worker:
        yield worker


@pytest.fixture
def there(broker: str, worker: Worker) -> Iterator[Client]:
    with cluster.connect(broker) as c:
        yield c


def test_a_run_is_submitted_watched_and_read(private: Client, tmp_path: Path) -> None:
    run = private.submit("wordcount", {"a.txt": "one two", "b.txt": b"two"}, top=1)
    seen = list(run.watch(0.1))
    assert seen[0].state in ("running", "done")
    assert (seen[-1].state, seen[-1].items_done) == ("done", 2)
    assert run.result() == run.result() == {"two": 2}
    assert run.failures == {}
    assert len(list(run.parts())) == 1
    run.write(tmp_path / "words.json")
    assert (tmp_path / "words.json").read_text() == '{\n  "two": 2\n}\n'
    assert run.events()[0].event == "begun"
    assert private.run(run.id) is run
    assert [found.run for found in private.runs(1)] == [run.id]


def test_a_worker_stays_for_the_next_run_of_its_job(private: Client) -> None:
    for text in ("one", "two"):
        assert private.submit("wordcount", [text.encode()]).result() == {text: 1}
    serving = [node.name for node in private.nodes() if node.state == "online" and "wordcount" in node.jobs]
    assert len(serving) == 1


def own_job(number: int) -> Job:
    def add(chunk: Chunk) -> Part[dict[str, int]]:
        return Part({item.name: int(item.data) + number for item in chunk})

    def join(parts: Any) -> dict[str, int]:
        return {name: value for part in parts for name, value in part.items()}

    return Job(name="own", about="add", split=files.split, task=add, aggregate=join)


def test_a_job_that_is_defined_anew_is_done_anew(private: Client) -> None:
    first = private.submit(own_job(1), [b"1", b"2"])
    assert first.result() == {"000000": 2, "000001": 3}
    assert private.submit(own_job(10), [b"1"]).result() == {"000000": 11}
    assert first.result() == {"000000": 2, "000001": 3}


def test_what_the_input_raises_is_raised_by_each_wait(private: Client) -> None:
    def broken() -> Iterator[bytes]:
        yield b"one"
        raise LookupError("no more pages")

    run = private.submit("wordcount", broken())
    for wait in (run.wait, run.result, run.parts, lambda: list(run.watch())):
        with pytest.raises(LookupError, match="no more pages"):
            wait()
    assert "no more pages" in str(run.status().error)


def test_a_timeout_ends_the_wait_alone(there: Client, tmp_path: Path) -> None:
    run = there.submit("measure", {"slow": b"x"}, seconds=0.5)
    with pytest.raises(TimeoutError):
        run.result(timeout_s=0.05)
    assert run.wait(10).state == "done"
    assert run.result() == {"slow": "1"}


def test_a_run_that_is_cancelled_has_no_result(there: Client) -> None:
    run = there.submit("measure", {"slow": b"sleep long"})
    run.cancel("for this test")
    run.cancel()
    with pytest.raises(errors.RunCancelled, match="for this test"):
        run.result()
    with pytest.raises(errors.UnknownRun):
        there.run("measure-00000000").cancel()


def test_many_threads_submit_and_wait_at_once(there: Client) -> None:
    found: list[Any] = []

    def submit(text: str) -> None:
        found.append(there.submit("wordcount", [text.encode()]).result())

    threads = [threading.Thread(target=submit, args=(text,)) for text in ("a", "b", "c", "d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == [str({text: 1}) for text in ("a", "b", "c", "d")]


@pytest.mark.usefixtures("worker")
def test_leaving_the_client_waits_until_the_input_is_read(broker: str) -> None:
    gate = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"one"
        gate.wait(5)
        yield b"two"

    with cluster.connect(broker) as c:
        run = c.submit("measure", slow(), seconds=0.1)
        threading.Timer(0.2, gate.set).start()
    status = Stores.connect(settings.load(broker_url=broker)).ledger.runs.status(run.id)
    assert status.items_total == 2
    assert status.state != "cancelled"
    assert status.coordinator is None or status.state != "running"
    with pytest.raises(errors.BrokerError, match="closed"):
        c.submit("measure", [b"more"])
    assert len(run.result(30)) == 2


def test_leaving_a_private_cluster_waits_for_its_runs(tmp_path: Path) -> None:
    with cluster.local(slots=1) as c:
        run = c.submit("measure", {"a": b"one"}, trace=str(tmp_path / "trace"))
    assert (tmp_path / "trace").exists()
    with pytest.raises(errors.BrokerError, match="closed"):
        run.result()


def test_an_error_cancels_what_is_not_read_yet(broker: str) -> None:
    gate = threading.Event()

    def endless() -> Iterator[bytes]:
        yield b"one"
        while not gate.wait(0.01):
            yield b"more"

    with pytest.raises(ZeroDivisionError), cluster.connect(broker) as c:  # noqa: PT012
        run = c.submit("measure", endless())
        wait_until("it is read", lambda: run.status().chunks_published > 0)
        raise ZeroDivisionError
    assert Stores.connect(settings.load(broker_url=broker)).ledger.runs.status(run.id).state == "cancelled"
    gate.set()


def test_an_input_that_stands_still_does_not_hold_the_end(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def still() -> Iterator[bytes]:
        yield b"one"
        gate.wait()

    monkeypatch.setattr(client, "LEAVE_S", 0.1)
    with pytest.raises(ZeroDivisionError), cluster.connect(broker) as c:  # noqa: PT012
        c.submit("measure", still())
        raise ZeroDivisionError
    gate.set()


def test_a_failure_that_nobody_was_told_is_raised_at_the_end(broker: str) -> None:
    def broken() -> Iterator[bytes]:
        yield b"one"
        raise LookupError("no more pages")

    with pytest.raises(LookupError, match="no more pages"), cluster.connect(broker) as c:
        c.submit("measure", broken())


def test_a_run_is_left_to_the_background(there: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "a.txt").write_text("one two")
    with cluster.connect(there.config.given_broker()) as c:
        run = c.submit("wordcount", tmp_path / "a.txt", detach=True)
    assert there.run(run.id).result(30) == {"one": 1, "two": 1}


def test_a_run_is_gone_on_with_by_another_client(broker: str, worker: Worker, there: Client) -> None:
    given = {"a": b"one", "b": b"two"}
    with cluster.connect(broker) as c, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "begin", lambda self, given, background, save: self)
        left = c.submit("measure", given)
    with pytest.raises(errors.UsageError, match="was not read to its end"):
        there.resume(left.id)
    assert there.resume(left.id, given).result() == {"a": "3", "b": "3"}


INTERRUPTED = """
    import cluster, os, signal, threading
    with cluster.connect() as c:
        run = c.submit("measure", {"slow": b"meet 3", "other": b"x"}, trace=os.environ["TRACE"])
        try:
            print("waiting", flush=True)
            run.result()
        except KeyboardInterrupt:
            print("interrupted", run.status().state, flush=True)
        open(os.environ["TRACE"], "a").write("here\\n" * 2)
        print(sorted(run.result()), flush=True)
"""


def test_ctrl_c_ends_the_wait_and_not_the_run(broker: str, worker: Worker, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED)],
        env=environment(CLUSTER_BROKER_URL=broker, TRACE=str(tmp_path / "trace")),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    wait_until("it is worked on", (tmp_path / "trace").exists)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert said.splitlines() == ["interrupted running", "['other', 'slow']"]
    assert process.returncode == 0


FORGOTTEN = """
    import cluster
    def pages():
        for number in range(40):
            yield f"page {number}".encode()
    print(cluster.connect().submit("measure", pages()).id, flush=True)
"""


def test_a_script_that_forgets_its_run_loses_no_input(broker: str, worker: Worker, there: Client) -> None:
    code = textwrap.dedent(FORGOTTEN)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(CLUSTER_BROKER_URL=broker), capture_output=True, text=True
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert there.run(done.stdout.strip()).status().items_total == 40


def test_a_run_of_another_version_has_no_job_here(broker: str, there: Client) -> None:
    run = there.run(names.new_run("measure"))
    Stores.connect(settings.load(broker_url=broker)).ledger.runs.create(run.id, "measure", "7", {}, "test")
    with pytest.raises(errors.JobUnavailable, match="is of version 7 of the job measure; here is version none"):
        _ = run.job
    assert run.status().requirement == "measure.7"
