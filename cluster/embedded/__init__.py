"""The embedded default: a private Redis and a worker on this machine, which end with the process that started them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cluster import addresses, errors, placement, redis_client
from cluster.embedded import folder, guard, redis_server
from cluster.embedded.hub import Hub, new_password

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
WORKER = "cluster.embedded.worker"
JOB_FILE = "--job-file"
"""Option of an embedded worker, its first argument, before the options of ``celery worker``."""
START_TIMEOUT_S = 20.0
LOAD_TIMEOUT_S = 600.0
"""Seconds that a Redis may take to load its stored data."""
REDIS_GRACE_S, KEEPING_GRACE_S = 2.0, 10.0
"""How long Redis may take to end: one that keeps what it has writes the last of it to disk."""
PORT_ATTEMPTS = 5
HEEDLESS = {"CLUSTER_SLOTS_IN_USE": "1000000", "CLUSTER_MEMORY_FLOOR_BYTES": "0"}
"""Settings of a worker that takes no notice of what else runs on its machine."""
WORKER_GRACE_S = 0.0
"""The worker of a run that is over is idle, and its Redis goes with it: there is nothing to hand back."""
LOG_TAIL_LINES = 5


class LocalCluster:
    """A private Redis, and workers when asked for. Use it in a ``with``.

    Its files lie in a temporary folder that only this user can enter. Whatever way this process ends,
    Redis, workers and folder go: a guard process holds the other end of a pipe from us.

    Args:
        host: Address that Redis listens on, besides the loopback one, which alone keeps other machines out.
        port: Its port; 0 for any free one.
        grace_s: How long a worker may go on with what it does when it is ended.
        kept: Where Redis keeps what it has, and whence it has its password, and its port where that is 0.

    Raises:
        errors.NoRedisServer: None was found, or it does not start.
    """

    def __init__(
        self, host: str = LOOPBACK, port: int = 0, grace_s: float = WORKER_GRACE_S, kept: Hub | None = None
    ) -> None:
        self._host = host
        self._port = port or (kept.port if kept else 0)
        self._grace_s = grace_s
        self._kept = kept
        self._password = kept.password if kept else new_password()
        self._ended: dict[str, int] = {}
        self._workers: list[str] = []
        self._workers_begun = 0

    @property
    def url(self) -> str:
        """The broker's URL for this machine."""
        host = LOOPBACK if self._host == "0.0.0.0" else self._host  # noqa: S104
        return self.url_at(host)

    @property
    def port(self) -> int:
        """Where its Redis listens."""
        return self._port

    def url_at(self, host: str) -> str:
        """The broker's URL for machines that know this one as ``host``."""
        return f"redis://:{self._password}@{host}:{self._port}/0"

    def __enter__(self) -> Self:
        for left in folder.sweep():
            log.info("removed %s, left by a cluster that was killed", left, extra={"event": "folder-swept"})
        self._folder, self._lock = folder.make()
        self._guard = subprocess.Popen(
            [sys.executable, "-S", "-E", guard.__file__, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Held by the guard, too.
            pass_fds=[self._lock.fileno(), *([self._kept.lock.fileno()] if self._kept else [])],
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._start_redis()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_worker(
        self, queues: Iterable[str] = (), *, task_events: bool = True, polite: bool = True,
        bundle_dir: Path | None = None, slots: int | None = None, job_file: Path | None = None,
    ) -> str:  # fmt: skip
        """Start a worker that sizes itself, for the jobs this machine can do or for ``queues`` only.

        Without ``task_events`` it does not tell of each task: nobody listens in a cluster for one run.
        One that is not ``polite`` keeps its slots whatever else runs here. With ``bundle_dir`` it takes bundles from
        that folder, with ``job_file`` it knows the job that lies there, too (see ``embedded.jobs``).

        Returns:
            Its name, for ``end_worker``.
        """
        number = self._workers_begun = self._workers_begun + 1
        name = "worker" if number == 1 else f"worker {number}"
        command = [sys.executable, "-m", WORKER, *([JOB_FILE, str(job_file)] if job_file else [])]
        command += ["-n", "local@%h" if number == 1 else f"local{number}@%h"]
        command += ["-c", str(slots)] if slots else []
        command += ["--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        if queues:
            command += ["-Q", ",".join(queues)]
        env = {
            "CLUSTER_BROKER_URL": self.url,
            "CLUSTER_TASK_EVENTS": str(task_events),
            **({} if polite else HEEDLESS),
            **({"CLUSTER_BUNDLE_DIR": str(bundle_dir.absolute())} if bundle_dir else {}),
            "PYTHONUNBUFFERED": "1",
            **placement.for_child(),
            "TMPDIR": str(self._folder),  # what the worker leaves there goes with the folder
            # Celery asks root to confirm that it knows; JSON alone is accepted here, so nothing is to confirm.
            "C_FORCE_ROOT": "1",
        }
        self._workers.append(name)
        self._order(name, command, env, self._grace_s)
        return name

    def end_worker(self, name: str) -> None:
        """End a worker that ``start_worker`` named, at once."""
        self._workers.remove(name)
        self._tell({"end": name})

    @property
    def folder(self) -> Path:
        """The cluster's folder, which only this user can enter."""
        return self._folder

    def check(self, wait_s: float = 0.0, needed: Collection[str] = ("redis", "worker")) -> None:
        """See that what we started still runs.

        Args:
            wait_s: Seconds to wait for a program to end, after an error that its end may have caused.
            needed: What must run; ``worker_news`` tells of the worker, too.

        Raises:
            errors.BrokerError: The Redis or the worker ended; the message holds the end of its log.
        """
        deadline = time.monotonic() + wait_s
        while True:
            for name, code in list(self._ended.items()):  # it grows in another thread
                kind = "redis" if name == "redis" else "worker"
                if kind not in needed or (kind == "worker" and name not in self._workers):
                    continue
                raise errors.BrokerError(f"the {kind} on this machine ended with code {code}:\n{self._tail(name)}")
            if self._guard.poll() is not None:
                raise errors.BrokerError("the guard of the cluster on this machine was killed")
            if time.monotonic() >= deadline:
                return
            time.sleep(0.01)

    def worker_news(self) -> str:
        """Tell how the worker ended; "" while it runs, and from the second call on."""
        code = self._ended.pop("worker", None)
        return "" if code is None else "it was asked to" if code == 0 else f"code {code}:\n{self._tail('worker')}"

    def stop(self) -> None:
        """End all, and wait until it is gone; may be called again."""
        assert self._guard.stdin is not None  # noqa: S101 - we made these pipes
        assert self._guard.stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()
        self._guard.wait()
        self._listener.join()  # it reads to the end of the guard's output
        self._guard.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # where the guard was killed, it could not
        self._lock.close()

    def _start_redis(self) -> None:
        server = redis_server.find()
        wanted = self._port
        data = self._kept.data if self._kept else None
        if data:
            redis_server.check_can_read(server, data)
        for _ in range(PORT_ATTEMPTS):
            try:
                self._port = wanted or redis_server.free_port(self._host)
            except OSError as error:
                raise errors.NoRedisServer(f"nothing can listen on {self._host!r}: {error.strerror}") from None
            redis_server.check_may_listen(server, self._host)
            config = redis_server.write_config(
                self._folder, _with_loopback(self._host), self._port, self._password, data
            )
            self._ended.pop("redis", None)
            self._order("redis", [server.path, str(config)], {}, KEEPING_GRACE_S if data else REDIS_GRACE_S)
            if self._wait_for_redis():
                if self._kept and self._kept.port != self._port:
                    self._kept.keep(self._port)
                return
            if wanted:
                break
        why = self._tail("redis") or "it said nothing; another Redis may have the port"
        place = f" with what is in {data}" if data else ""
        raise errors.NoRedisServer(f"{server.path} did not start on {self._host}:{self._port}{place}:\n{why}")

    def _wait_for_redis(self) -> bool:
        deadline = time.monotonic() + (LOAD_TIMEOUT_S if self._kept else START_TIMEOUT_S)
        while time.monotonic() < deadline and "redis" not in self._ended:
            try:
                redis_client.check(self.url)
            except errors.BrokerUnreachable:
                time.sleep(0.01)
            except errors.BrokerRefused:
                return False  # somebody else's Redis has the port
            else:
                return True
        return False

    def _order(self, name: str, command: list[str], env: dict[str, str], grace_s: float) -> None:
        self._tell({"name": name, "command": command, "env": env, "grace_s": grace_s})

    def _tell(self, order: Mapping[str, Any]) -> None:
        assert self._guard.stdin is not None  # noqa: S101 - we made it a pipe
        self._guard.stdin.write(json.dumps(order) + os.linesep)
        self._guard.stdin.flush()

    def _listen(self) -> None:
        assert self._guard.stdout is not None  # noqa: S101 - we made it a pipe
        for line in self._guard.stdout:
            told = json.loads(line)
            self._ended[told["name"]] = told["exit_code"]

    def _tail(self, name: str) -> str:
        try:
            text = (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-LOG_TAIL_LINES:])


def _with_loopback(host: str) -> str:
    """The addresses to listen on: commands of this machine find a hub that is kept by the loopback one."""
    return host if addresses.ipv4(host) in (LOOPBACK, addresses.ALL[0]) else f"{host} -{LOOPBACK}"
