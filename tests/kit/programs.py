"""Real programs for tests: a private Redis, workers, the command line. Loopback only, ended by process."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil
import pytest
import redis

from cluster import errors, redis_client, settings
from cluster.embedded import HEEDLESS, redis_server
from cluster.stores import Stores
from tests.kit import forking
from tests.kit.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "tests" / "kit" / "jobs"
DATA = ROOT.parent / "shared" / "data"
MARK = "CLUSTER_TEST_MARK"
LOOPBACK = "127.0.0.1"
PORT_ATTEMPTS = 5
NONE: Mapping[str, str] = {}
ADMIN_MAY = ["~*", "&*", "+@all"]
"""The user as whom tests do to a Redis what the cluster's user may not."""
Value = TypeVar("Value")


def find_redis() -> str:
    """The program; without one the test is skipped on a laptop and fails on CI."""
    try:
        return redis_server.find().path
    except errors.NoRedisServer as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def find_program(name: str, package: str) -> str:
    """The path of a program; without it the test is skipped on a laptop and fails on CI, and names Debian's package."""
    found = shutil.which(name)
    if found is None:
        problem = f"no {name} on this machine: apt install {package}"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    return found


CACHE = tempfile.TemporaryDirectory(prefix="tests-of-cluster-", ignore_cleanup_errors=True)
"""For what programs keep on this machine; it goes with the tests."""
SOON = {"CLUSTER_RETRY_DELAY_S": "0.1"}


def environment(**more: str) -> dict[str, str]:
    """This process's environment without our settings, with the test jobs and ``more``.

    Nodes take no notice of what else this machine does, other tests among it. Programs keep their bytecode, as
    installed ones do: to compile ours anew costs each 0.1 s. What fails in a run that is submitted so is soon tried
    again.
    """
    ours = {k: v for k, v in os.environ.items() if not k.startswith("CLUSTER_") and k != "PYTHONDONTWRITEBYTECODE"}
    return {
        **ours,
        "PYTHONPATH": str(JOBS),
        "CLUSTER_CONFIG": os.devnull,
        "CLUSTER_CACHE_DIR": CACHE.name,
        "CLUSTER_DATA_DIR": more.get("CLUSTER_CACHE_DIR", CACHE.name),
        **HEEDLESS,
        "C_FORCE_ROOT": "1",
        **SOON,
        **more,
    }


class RedisServer:
    """A Redis of our own on a free port of ``host``, with a password. It can be started again where it was.

    Its port and URL are known once it was started. Each has a password of its own: a worker of another test, which
    waits for a Redis that had this port before, must not take this one's messages.
    """

    def __init__(self, folder: Path, *arguments: str, host: str = LOOPBACK) -> None:
        self.password = f"secret-{secrets.token_hex(4)}"
        self._folder = folder
        self._arguments = arguments
        self._host = host
        self._was_up = False
        self.port = 0

    @property
    def url(self) -> str:
        """Its URL for who comes the straight way."""
        return self.url_by(self._host, self.port)

    def url_by(self, host: str, port: int) -> str:
        """Its URL for who comes by another way."""
        return f"redis://:{self.password}@{host}:{port}/0"

    def __enter__(self) -> Self:
        return self.start()

    def start(self) -> Self:
        """Start it, also again on its port; with ``--appendonly yes`` it then has what it had."""
        self._folder.mkdir(exist_ok=True)
        for _ in range(PORT_ATTEMPTS):
            if not self._was_up:
                self.port = redis_server.free_port(self._host)
            config = redis_server.write_config(self._folder, self._host, self.port, self.password)
            with (self._folder / "redis.log").open("ab") as log:
                admin_may = ["--user", "admin", "on", f">{self.password}", *ADMIN_MAY]
                command = [find_redis(), str(config), *admin_may, *self._arguments]
                self.process = subprocess.Popen(command, stdout=log, stderr=log)
            wait_until("Redis answers", lambda: self._answers() or self.process.poll() is not None)
            if self.process.poll() is None:
                redis_client.check(self.url)
                self._was_up = True
                return self
        raise AssertionError(f"Redis does not start:\n{(self._folder / 'redis.log').read_text()[-3000:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        """Whether this one does: another test's may have taken the port."""
        try:
            with redis_client.connect(self.url, patient=False, timeout_s=5) as client:
                if client.info("persistence")["loading"]:
                    return False
                return bool(client.info("server")["process_id"] == self.process.pid)
        except redis.RedisError:
            return False


def admin(url: str) -> redis.Redis:
    """A client of a ``RedisServer`` that may do everything."""
    return redis_client.connect(url.replace("redis://:", "redis://admin:"), patient=False)


def emptied(url: str) -> Stores:
    """The stores of a ``RedisServer``, in which nothing is any more."""
    admin(url).flushall()
    return Stores.connect(settings.load(broker_url=url))


class Worker:
    """A real ``celery -A cluster worker``, with its children in a session of their own."""

    def __init__(
        self,
        name: str,
        url: str,
        folder: Path,
        *flags: str,
        python: str | Path = sys.executable,
        app: str = "cluster",
        prefix: Sequence[str] = (),
        **settings: str,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [*prefix, str(python), "-m", "celery", "-A", app, "worker", "--loglevel", "INFO", *flags]
        if name:
            self._command += ["-n", f"{name}@test"]
        self._environment = environment(CLUSTER_BROKER_URL=url, **settings)
        self._folder = folder
        self.by_fork = True
        """Whether to start it by a fork, where that does the same."""

    def start(self) -> Self:
        """Start it without waiting."""
        with self.log.open("ab") as log:
            self._said_before_bytes = log.tell()
            self.process = program(
                self._command,
                cwd=self._folder,
                env=self._environment,
                by_fork=self.by_fork,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def wait_until_ready(self) -> Self:
        """It takes work from now on."""
        wait_until(f"{self.name} is ready", lambda: self._is_ready() or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()
        return self

    def _is_ready(self) -> bool:
        return b" ready." in self.log.read_bytes()[self._said_before_bytes :]

    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def __enter__(self) -> Self:
        return self.start().wait_until_ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it and its children as a power cut would."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and all its children, if it lives."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def stop_when(self, what: str, condition: Callable[[], Value]) -> Value:
        """Stop it and its children at a moment when the condition holds; gives what it gave."""

        def caught() -> Value:
            self.send(signal.SIGSTOP)
            # Asked twice: by then whatever it had sent before is done.
            found = condition() and condition()
            if not found:
                self.send(signal.SIGCONT)
            return found

        return wait_until(what, caught)


def cluster(
    *arguments: str | Path, timeout_s: float = 60, settings: Mapping[str, str] = NONE
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    with start_cluster(*arguments, settings=settings) as process:
        out, err = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class Program(subprocess.Popen[str]):
    """A program that does not outlive a test that fails."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


class ForkedProgram(Program, forking.Forked):
    """The same, by a fork."""


def program(command: Sequence[str], env: Mapping[str, str], *, by_fork: bool = True, **more: Any) -> Program:
    """Start a program of ours, by a fork where that does the same."""
    is_ours = tuple(command[:2]) == (sys.executable, "-m")
    is_plain = env.get("PYTHONPATH") == str(JOBS) and not _is_marked(env)
    kind = ForkedProgram if by_fork and is_ours and is_plain and forking.can_fork(env) else Program
    return kind(command, env=env, text=True, **more)


def start_cluster(*arguments: str | Path, settings: Mapping[str, str] = NONE) -> Program:
    """Start the command line; read its ``stdout`` and ``stderr`` while it runs."""
    return program(
        [sys.executable, "-m", "cluster", *map(str, arguments)],
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def mark() -> dict[str, str]:
    """A setting that all processes started with it hand on to their children."""
    return {MARK: f"found-by-{uuid.uuid4().hex}"}


def _is_marked(environment: Mapping[str, str]) -> bool:
    """Whether ``marked`` is to find the program by its environment."""
    return environment.get(MARK, "").startswith("found-by-")


def marked(setting: Mapping[str, str], folder: Path) -> list[psutil.Process]:
    """The living processes that carry the mark, or work in the folder: Redis overwrites its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(MARK) == setting[MARK] or process.cwd().startswith(str(folder))
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
