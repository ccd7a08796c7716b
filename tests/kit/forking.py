"""A process that has imported what our programs import, and forks into them: imports are most of what a start costs.

What then runs is the program from its ``main`` on, with its own arguments, environment, folder, streams and session.
Started as ever are programs with another Python, and those whose environment another process reads: a fork shows that
of the process it came from. ``TESTS_FORK=0`` starts all so.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import inspect
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SWITCH = "TESTS_FORK"
MOST_BYTES = 2**20
MOST_FDS = 4096
PACKAGES = (
    "cli", "client", "coordinator", "worker", "messaging", "ledger", "nodes", "services", "bundles", "blobs",
    "embedded",
)  # fmt: skip
"""Those of ``cluster`` whose modules need no engine."""
OTHERS = (
    "celery.bin.celery", "celery.apps.worker", "celery.concurrency.prefork", "celery.worker.consumer.consumer",
    "celery.worker.components", "celery.events.snapshot", "kombu.transport.redis", "cluster.celery_app",
    "rich.progress", "rich.table", "orjson", "zstandard",
)  # fmt: skip
DECIDES_EARLY = ("PYTHON", "LC_", "LANG")
"""Variables that a program hears as it starts, by the beginnings of their names."""


def can_fork(environment: Mapping[str, str]) -> bool:
    """Whether a program with that environment does the same as a fork."""
    if not hasattr(os, "pidfd_open") or os.environ.get(SWITCH) == "0":
        return False
    return _early(environment) == _early(os.environ)


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    left_out = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in environment.items() if k.startswith(DECIDES_EARLY) and k not in left_out}


class Forked(subprocess.Popen[str]):
    """``Popen`` of ``python -m MODULE ARGUMENTS``, by a fork of the process that has done the imports.

    Its parent is that process, which tells by a pipe how it ended.
    """

    def _execute_child(self, *given: Any, **named: Any) -> None:
        known = inspect.signature(super()._execute_child).bind(*given, **named).arguments  # type: ignore[misc]
        streams = [known[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        self._ended, tells = os.pipe()
        asked = {
            "argv": list(map(os.fspath, known["args"])), "cwd": os.fspath(known["cwd"] or Path.cwd()),
            "environment": dict(os.environ if known["env"] is None else known["env"]),
            "session": known["start_new_session"], "cores": sorted(os.sched_getaffinity(0)),
        }  # fmt: skip
        try:
            self.pid = _ask(asked, [*(own if fd == -1 else fd for own, fd in enumerate(streams)), tells])
        finally:
            os.close(tells)
            ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(known[name] for name in ends))  # type: ignore[attr-defined]
        self._child_created = True

    def _try_wait(self, flags: int) -> tuple[int, int]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._ended, selectors.EVENT_READ)
            if not selector.select(0 if flags & os.WNOHANG else None):
                return 0, 0
        told = os.read(self._ended, 16)
        os.close(self._ended)
        return self.pid, int(told or signal.SIGKILL)  # it tells no more: that process is gone

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):  # type: ignore[attr-defined]
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


def _ask(asked: Mapping[str, Any], fds: Sequence[int]) -> int:
    """Have a program started; gives its pid."""
    connection = _server()
    socket.send_fds(connection, [json.dumps(asked).encode()], list(fds))
    return int(connection.recv(16))


@functools.cache
def _server() -> socket.socket:
    """The connection to this process's server, which is started at the first call and ends with this process."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left_out = {name for name in os.environ if name.startswith("CLUSTER_")} | {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.forking", str(its.fileno())], cwd=ROOT, pass_fds=[its.fileno()],
        env={name: value for name, value in os.environ.items() if name not in left_out}, stdin=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    its.close()
    atexit.register(_end, process, ours)
    return ours


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    process.wait()


# The server's side.


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each request, in the child give the request; ends with the process that asks, and all it has forked."""
    living: set[int] = set()
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                selector.unregister(key.fd)
                _tell_end(key.fd, *key.data)
                living.remove(key.data[0])
                continue
            message, fds, _, _ = socket.recv_fds(connection, MOST_BYTES, 4)
            if not message:
                _kill(living)
                os._exit(0)
            pid = os.fork()
            if not pid:
                return {**json.loads(message), "fds": fds}
            living.add(pid)
            for fd in fds[:3]:
                os.close(fd)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, fds[3]))
            connection.send(str(pid).encode())


def _kill(pids: Iterable[int]) -> None:
    """Kill processes and, of those with a session of their own, what they have started."""
    for pid in pids:
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)


def _tell_end(pidfd: int, pid: int, tells: int) -> None:
    os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(tells, str(status).encode())
    os.close(tells)


def _become(asked: Mapping[str, Any]) -> None:
    """Run the program in this process, a fork, as if it had just been started."""
    if asked["session"]:
        os.setsid()
    os.sched_setaffinity(0, asked["cores"])
    for own, fd in enumerate(asked["fds"][:3]):
        os.dup2(fd, own)
    os.closerange(3, MOST_FDS)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["cwd"])
    sys.stdin, sys.stdout, sys.stderr = _streams()
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [str(Path.cwd()), *given]
    importlib.invalidate_caches()
    [_, flag, module, *arguments] = asked["argv"]
    assert flag == "-m"
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _streams() -> Iterator[io.TextIOWrapper]:
    """As Python opens them."""
    for fd, name, was in ((0, "rb", sys.stdin), (1, "wb", sys.stdout), (2, "wb", sys.stderr)):
        raw = open(fd, name, closefd=False)  # noqa: SIM115 - they are open until the end
        yield io.TextIOWrapper(
            raw, was.encoding, was.errors, line_buffering=fd == 2 or raw.isatty(), write_through=False
        )


def _import_all() -> None:
    for name in OTHERS:
        importlib.import_module(name)
    for package in PACKAGES:
        found = importlib.import_module(f"cluster.{package}")
        for module in pkgutil.iter_modules(found.__path__, f"cluster.{package}."):
            if not module.name.endswith("job_template"):
                importlib.import_module(module.name)


if __name__ == "__main__":
    served = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    gc.freeze()
    _become(_serve(served))
