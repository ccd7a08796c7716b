"""The jobs that other distributions add by entry points; a process that runs long finds those installed meanwhile."""

from __future__ import annotations

import hashlib
import importlib
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from cluster.job import Job

GROUP = "cluster.jobs"
LEFT_OUT = {"event": "job-left-out"}
SETTLE_S = 5.0
"""Seconds after a change during which each look reads the packages again: a package is installed in several steps, and
the last ones do not show in its folder."""
NOTHING: Mapping[str, str] = MappingProxyType({})
Stamp = tuple[tuple[str, int], ...]
"""When something was last added to, or removed from, each folder that packages are in."""
log = logging.getLogger(__name__)


class Package(NamedTuple):
    """The distribution that a job was loaded from."""

    name: str
    version: str
    files_sha256: str
    """The digest of the list of the distribution's files and their hashes."""


class Found(NamedTuple):
    """The jobs installed at the last look. Replaced, never changed: several threads read it."""

    jobs: Mapping[str, Job]
    packages: Mapping[EntryPoint, Package] = MappingProxyType({})
    """Entry point of a job -> its distribution when the job was loaded."""
    outdated: Mapping[str, str] = NOTHING
    """Job -> why this process goes on with an older one than is installed."""
    problems: frozenset[str] = frozenset()
    """Why some are left out: each is said once, and tried again at the next look."""
    stamp: Stamp = ()
    settled: bool = False
    """Whether the last change was over when it was looked at."""


class Installed:
    """The jobs of ``built_in`` and of all distributions.

    A job that is loaded stays as it is until the process ends: Python cannot take back what it has imported. Of a
    distribution that is upgraded in place ``outdated`` says so.
    """

    def __init__(self, built_in: Iterable[Job]) -> None:
        self._built_in = {job.name: job for job in built_in}
        self._found: Found | None = None

    @property
    def jobs(self) -> Mapping[str, Job]:
        """Every job by name. A broken one of another distribution is left out with a warning."""
        return self._now().jobs

    @property
    def outdated(self) -> Mapping[str, str]:
        """Job -> why this process goes on with an older one than is installed."""
        return self._now().outdated

    def has_changed(self) -> bool:
        """Whether a look may find something else: something was installed or removed. Some calls of ``stat``."""
        found = self._now()
        return not found.settled or found.stamp != _stamp()

    def look(self) -> None:
        """Find what was installed since the last look."""
        before = self._now()
        if before.problems or self.has_changed():
            self._found = self._look(before)

    def add(self, job: Job) -> None:
        """Know a job of no distribution from now on, in place of one of the same name."""
        now = self._now()
        self._found = now._replace(jobs={**now.jobs, job.name: job})

    def forget(self) -> None:
        """Begin anew, as a new process would."""
        self._found = None

    def _now(self) -> Found:
        if self._found is None:
            self._found = self._look(Found(self._built_in))
        return self._found

    def _look(self, before: Found) -> Found:
        stamp = _stamp()  # first: what changes meanwhile is found by the next look
        importlib.invalidate_caches()  # else Python looks only for what was there when it last listed a folder
        jobs, packages = dict(before.jobs), dict(before.packages)
        problems, there = set[str](), dict[EntryPoint, Package]()
        for entry in entry_points(group=GROUP):
            there[entry] = _package(entry)
            if entry in before.packages:
                continue
            try:
                job = entry.load()
            except Exception as error:  # noqa: BLE001 - somebody else's code must not stop ours
                problems.add(f"the job {entry.name} of {entry.value} cannot be loaded: {error}")
                continue
            if not isinstance(job, Job):
                problems.add(f"the entry point {entry.name} names {entry.value}, which is no Job")
            elif job.name in jobs:
                problems.add(f"the job {job.name} of {entry.value} is left out: the name is taken")
            else:
                jobs[job.name], packages[entry] = job, there[entry]
        for problem in problems - before.problems:
            log.warning(problem, extra=LEFT_OUT)
        outdated = _outdated(packages, there)
        for name, why in outdated.items() - before.outdated.items():
            log.warning("the job %s: %s", name, why, extra={"event": "job-outdated"})
        return Found(jobs, packages, outdated, frozenset(problems), stamp, _is_settled(stamp))


def _outdated(loaded: Mapping[EntryPoint, Package], there: Mapping[EntryPoint, Package]) -> dict[str, str]:
    found = {}
    for entry, package in loaded.items():
        now = there.get(entry)
        if now is None:
            found[entry.name] = f"its package {package.name} was removed; this process goes on with what it has loaded"
        elif now != package:
            upgraded = f"upgraded from {package.version} to {now.version}"
            how = upgraded if now.version != package.version else "installed anew"
            found[entry.name] = f"its package {package.name} was {how}; start the worker again to use it"
    return found


def _package(entry: EntryPoint) -> Package:
    if entry.dist is None:
        return Package(entry.value, "", "")
    files = entry.dist.read_text("RECORD") or ""
    return Package(entry.dist.name, entry.dist.version, hashlib.sha256(files.encode()).hexdigest())


def _stamp() -> Stamp:
    return tuple((place, _changed_ns(place)) for place in sys.path)


def _is_settled(stamp: Stamp) -> bool:
    now_s = time.time()
    return all(abs(now_s - changed_ns / 1e9) > SETTLE_S for _, changed_ns in stamp)


def _changed_ns(place: str) -> int:
    try:
        return Path(place or ".").stat().st_mtime_ns
    except OSError:
        return 0
