"""Whether a job can be done with a bundle, found out in a process of its own.

A model that is loaded there takes no memory of a worker's main process, from which all its slots are forked, imports
nothing into it, and cannot bring it down.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from cluster import placement

if TYPE_CHECKING:
    from cluster.bundles.content import Content
    from cluster.bundles.manifest import Manifest
    from cluster.job import Job

Process = subprocess.Popen[str]
TIMEOUT_S = 120.0
LOOK_S = 1.0
"""Between two looks of such a process whether its parent is there."""
REST_S, FAILED_REST_S = 3.0, 60.0
"""Seconds after a trial before a process waits for the next one, so that what follows from the trial goes first; and
before one begins again that ended by itself."""
PROBLEM = "problem: "
UNUSABLE = "no machine can use this bundle: "
"""A reason begins so that lies in the bundle alone."""


class Trials:
    """Tries bundles. A job whose bundles people may change soon has a process waiting that has its imports done.

    To import what a job works with takes most of a trial, and many times as long on a machine whose processors are
    all in use. A process that waits imports what the trial before has, does one trial, and ends, or with its parent.
    """

    def __init__(self) -> None:
        self._modules: dict[str, Sequence[str]] = {}
        self._waiting: dict[str, Process] = {}
        self._rests_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def problem(self, job: str, options: Mapping[str, Any], packages: Path) -> str:
        """As ``problem``; by the process that waits, if there is one, and the bundle brings no packages."""
        with self._lock:
            waiting = None if packages.is_dir() else self._waiting.pop(job, None)
        if waiting is not None and waiting.poll() is not None:
            _end(waiting)
            waiting = None
        found = _ask(waiting or _start([]), job, options, packages)
        with self._lock:
            self._rests_until[job] = time.monotonic() + REST_S
            if found.modules:
                self._modules[job] = found.modules
        return found.problem

    def have_waiting(self, jobs: Collection[str]) -> None:
        """Have a process wait for each of these jobs of which a bundle was tried here, and for no other.

        Call it again and again: a process begins some seconds after the last trial of its job.
        """
        now = time.monotonic()
        with self._lock:
            for job in self._waiting.keys() - set(jobs):
                _end(self._waiting.pop(job))
            for job in set(jobs) & self._modules.keys():
                if job in self._waiting and self._waiting[job].poll() is not None:
                    _end(self._waiting.pop(job))
                if job not in self._waiting and now >= self._rests_until[job]:
                    self._waiting[job] = _start(self._modules[job])
                    self._rests_until[job] = now + FAILED_REST_S

    def waiting(self) -> list[int]:
        """The processes that wait."""
        with self._lock:
            return [process.pid for process in self._waiting.values() if process.poll() is None]


class Found(NamedTuple):
    """The end of a trial."""

    problem: str
    modules: Sequence[str] = ()
    """What the process had imported, where it worked with the packages of this Python alone."""


def problem(job: str, options: Mapping[str, Any], packages: Path) -> str:
    """Why this machine cannot do a job with these options, or "".

    Args:
        job: Its name.
        options: As its functions take them: ``model`` is a folder.
        packages: The folder of what is installed for the bundle.
    """
    return _ask(_start([]), job, options, packages).problem


def _start(modules: Sequence[str]) -> Process:
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], env=placement.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    with contextlib.suppress(OSError):  # it has ended, which the answer tells
        cast(IO[str], process.stdin).write(json.dumps([os.getpid(), list(modules)]) + "\n")
        cast(IO[str], process.stdin).flush()
    return process


def _end(process: Process) -> None:
    process.kill()
    process.communicate()


def _ask(process: Process, job: str, options: Mapping[str, Any], packages: Path) -> Found:
    try:
        said, wrong = process.communicate(json.dumps([job, dict(options), str(packages)]) + "\n", TIMEOUT_S)
    except subprocess.TimeoutExpired:
        _end(process)
        return Found(f"trying it took longer than {TIMEOUT_S:g} s")
    if process.returncode < 0:
        return Found(f"trying it ended the process ({signal.Signals(-process.returncode).name})")
    _, there, answer = said.rpartition(PROBLEM)
    if process.returncode or not there:
        return Found(f"trying it failed: {wrong.strip().rpartition(os.linesep)[2][:300]}")
    return Found(*json.loads(answer))


def problem_of(given: Content, drafted: Manifest, job: Job, packages: Path | None) -> str:
    """Why a content that is to become a bundle cannot be used, or "".

    Args:
        given: Its files.
        drafted: What is said of them.
        job: The job it is for.
        packages: The folder of what is installed here for it. None: this machine lacks something that it takes, so
            only what is wrong on every machine is looked for.

    Raises:
        OSError: A file cannot be read, or there is no room to lay the files out as on a node.
    """
    with tempfile.TemporaryDirectory(prefix="cluster-bundle-") as place:
        folder = Path(place)
        for name, data in given.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(data, bytes):
                path.write_bytes(data)
            else:
                shutil.copyfile(data, path)
        (folder / "bundle.json").write_bytes(drafted.description)
        if why := job.unusable(place):
            return f"{UNUSABLE}{why}"
        return "" if packages is None else problem(job.name, {"model": place}, packages)


def main() -> None:
    """Import the modules that the first line of stdin names beside the parent, then try what the second one names.

    Prints on stdout, as JSON, why the job cannot be done, "" if it can, and what this process has imported.
    """
    from cluster import catalog, errors
    from cluster.bundles import requirements

    parent, modules = json.loads(sys.stdin.readline() or "[0, []]")
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    for name in modules:
        with contextlib.suppress(Exception):  # the trial tells of what cannot be imported
            importlib.import_module(name)
    line = sys.stdin.readline()
    if not line:  # nobody asks any more
        return
    job, options, packages = json.loads(line)
    try:
        requirements.activate(Path(packages))
        wanted = catalog.get(job)
        found = wanted.unusable(options["model"]) if options.get("model") else ""
        found = f"{UNUSABLE}{found}" if found else wanted.why_not_here(options)
    except errors.ClusterError as error:
        found = str(error)
    imported = [] if Path(packages).is_dir() else [name for name in sys.modules if name != "__main__"]
    print(PROBLEM + json.dumps([found, imported]))


def _end_with(parent: int) -> None:
    """End when the parent does: another child of it may hold the other end of stdin."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    main()
