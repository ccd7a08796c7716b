"""Find out which capabilities a node can serve, and fetch the bundles that its jobs need, in a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import redis

from cluster import catalog, keys, names
from cluster.bundles import store
from cluster.bundles.manifest import Manifest
from cluster.job import Job
from cluster.nodes import places, wanted
from cluster.nodes.places import Places
from cluster.nodes.registry import PENDING
from cluster.stores import Stores

LOOK_S = 30.0
"""Seconds between two looks without news: the end of a run, and of its wants, is not announced."""
INSTALLED_S = 1.0
"""Between two looks whether something was installed on this machine."""
AGAIN_S, MOST_AGAIN_S = 2.0, 60.0
"""Seconds before something that failed is tried again: the first wait and the longest one."""
log = logging.getLogger(__name__)


class Served(NamedTuple):
    """The capabilities that a node serves besides the plain jobs."""

    capabilities: frozenset[str] = frozenset()
    missing: Mapping[str, str] = {}
    """Capability -> why not."""
    bundles: Sequence[str] = ()
    """Bundles that the node holds."""


class Failure(NamedTuple):
    """Why a capability cannot be served, and when to look again."""

    why: str
    until: float
    """Time of ``time.monotonic``."""
    pause_s: float


class Provisioner:
    """Looks when the revision (``keys.REVISION``) has changed: at each change one look, however many nodes.

    Args:
        stores: The cluster's, which are not waited for.
        jobs: What this node does.
        missing: Capability -> why this node leaves out a job.
        given: The queues that it was started for, and consumes; none: those of all jobs that it can do.
        mine: Where this node keeps bytes and models, to enter them again should Redis lose them; None: it does not.
        unfit: Why this node takes no work at all.
    """

    def __init__(
        self, stores: Stores, jobs: Sequence[Job], missing: Mapping[str, str], given: Collection[str] = (),
        mine: Places | None = None, unfit: str = "",
    ) -> None:  # fmt: skip
        self._stores = stores
        self._models = stores.models
        self._jobs = {job.capability: job for job in jobs}
        self._left_out = dict(missing)
        self._given = given
        self._mine, self.unfit = mine, unfit
        self._told = unfit
        self._seen_jobs = set(catalog.jobs())
        self._later: set[str] = set()  # capabilities of jobs that were installed since
        self.served = Served(missing=self._left_out)
        """The result of the last look. Replaced, never changed."""
        self._held: dict[str, Manifest] = {}
        self._needed: set[str] = set()
        self._failures: dict[str, Failure] = {}
        self._required: frozenset[str] = frozenset()  # by runs
        self._pending: set[str] = set()  # not looked at yet
        self._announced: set[str] = set()
        self._seen = -1  # which revision of the bundles
        self._revision = -1
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._run, name="provisioner", daemon=True)

    def start(self) -> None:
        """Begin to look, unless begun."""
        if not self._thread.is_alive():
            self._thread.start()

    def serves(self, capability: str) -> bool:
        """Whether this node can do what needs a capability, as far as it has found out."""
        is_plain = capability in self._jobs and capability not in self._left_out
        return not self.unfit and (is_plain or capability in self.served.capabilities)

    def expected(self) -> Collection[str]:
        """The capabilities of which messages may come: plain ones, and those that runs need now."""
        plain = self._jobs.keys() - self._left_out.keys()
        return plain | (self.served.capabilities & self._required)

    def expect_trials(self, jobs: Collection[str]) -> None:
        """Versions of bundles of these jobs, and of no other, are likely to be tried soon: see ``trial.Trials``."""
        self._models.trials.have_waiting(jobs)

    def heard(self, revision: int) -> None:
        """This is the revision now."""
        if revision != self._revision:
            self._revision = revision
            self._due.set()

    def _run(self) -> None:
        pause_s = LOOK_S
        while True:
            self._wait(pause_s)
            try:
                self.look()
                again = [failure.until for failure in self._failures.values()]
                pause_s = max(0.1, min([LOOK_S, *(until - time.monotonic() for until in again)]))
            except (redis.RedisError, OSError) as error:
                log.debug("what this node can serve cannot be found out now: %s", error)
                pause_s = AGAIN_S
            except Exception:
                log.exception("finding out what this node can serve failed; going on")
                pause_s = MOST_AGAIN_S

    def _wait(self, pause_s: float) -> None:
        """Wait ``pause_s``, or until a change was announced or a job was installed."""
        until = time.monotonic() + pause_s
        while not self._due.wait(max(0.0, min(INSTALLED_S, until - time.monotonic()))):
            if time.monotonic() >= until or catalog.installed.has_changed():
                return

    def look(self) -> None:
        """Find out what this node can serve now; ``served`` changes as that goes on, for fetching may take long.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        self._find_jobs()
        self._compare()
        required, done = self._read(), set[str]()
        self._held, self._needed = {}, set()
        while True:
            if self._due.is_set():  # heard meanwhile: what runs wait for comes before what they may need some day
                required = self._read()
            wanted = {capability for capability in required | self._announced if names.plain(capability) in self._jobs}
            self._pending = wanted - done
            if not self._pending:
                break
            # A capability that is served already needs only a look, so it comes first.
            capability = min(
                self._pending, key=lambda one: (one not in self.served.capabilities, one not in required, one)
            )
            done.add(capability)
            self._look_at(capability, wanted, needed=capability in required)
        self._failures = {capability: failure for capability, failure in self._failures.items() if capability in wanted}
        self._tell(wanted)
        if self._jobs:  # else the bundles here are those of another worker of this machine
            self._models.cache.evict({manifest.digest for manifest in self._held.values()})

    def _find_jobs(self) -> None:
        """Take up the jobs that were installed since this node began."""
        catalog.installed.look()
        for name, job in catalog.jobs().items():
            if name in self._seen_jobs:
                continue
            self._seen_jobs.add(name)
            if self._given and keys.queue(job.capability) not in self._given:
                continue
            self._jobs[job.capability] = job
            if problem := job.why_not_here():
                self._left_out[job.capability] = problem
                log.warning(catalog.left_out(name, problem), extra={"event": "job-left-out"})
            elif not self._given:
                self._later.add(job.capability)

    def _compare(self) -> None:
        told = places.compare(self._stores, self._mine) if self._mine else ""
        if told and told != self._told:
            log.error("start this worker again: %s", told, extra={"event": "node-unfit"})
        self._told = told or self._told

    def _read(self) -> set[str]:
        """Read the capabilities that runs need. Bundles are read again only where they have changed."""
        self._due.clear()
        revision = self._models.bundles.revision()
        if revision != self._seen:
            self._announced = {
                job.requirement({**job.with_bundle, "model": manifest.reference})
                for manifest in self._models.current()
                for job in self._jobs.values()
                if job.bundles == manifest.job and not job.trains
            }
            self._seen = revision
        required = set(wanted.read(self._stores))
        self._required = frozenset(required)
        return required

    def _look_at(self, capability: str, wanted: set[str], *, needed: bool) -> None:
        before = self._failures.get(capability)
        if before and time.monotonic() < before.until:
            return
        if capability not in self.served.capabilities and not before:
            self._tell(wanted)
        why = self._why_not(self._jobs[names.plain(capability)], capability, needed=needed)
        serves = self.served.capabilities - {capability}
        if why:
            # At ever longer intervals: a fetch that fails costs as much as one that does not.
            pause_s = min(2 * before.pause_s, MOST_AGAIN_S) if before else AGAIN_S
            self._failures[capability] = Failure(why, time.monotonic() + pause_s, pause_s)
            if not before or before.why != why:
                log.warning("this node does not serve %s: %s", capability, why, extra={"event": "capability-left-out"})
        else:
            self._failures.pop(capability, None)
            serves |= {capability}
        self.served = self.served._replace(capabilities=serves)
        self._tell(wanted)

    def _tell(self, wanted: set[str]) -> None:
        pending = dict.fromkeys(self._pending - self.served.capabilities, PENDING)
        failed = {capability: failure.why for capability, failure in self._failures.items() if capability in wanted}
        missing = {**self._left_out, **pending, **failed}
        serves = (self.served.capabilities & wanted) | self._later
        self.served = Served(serves, missing, sorted(one.ref for one in self._held.values()))

    def _why_not(self, job: Job, capability: str, *, needed: bool) -> str:
        """Why this node cannot serve a capability, once all is fetched and installed that may be; "" if it can.

        Args:
            job: Whose capability it is.
            capability: What is asked for.
            needed: Whether a run needs it; else it is only fetched where there is room for it.
        """
        try:
            needs = job.needs_of(capability)
            ref = store.version(job, needs)
            manifest = self._models.manifest(ref) if ref else None
            if job.capability in self._left_out and not (manifest and self._models.may_bring(manifest)):
                return self._left_out[job.capability]
            # A bundle that a run needs may replace one that is only announced; an announced one replaces nothing.
            keep = {held.digest for ref, held in self._held.items() if ref in self._needed or not needed}
            problem = self._models.problem(job, needs, keep)
            if not problem and ref and manifest:
                self._held[ref] = manifest
                self._needed |= {ref} if needed else set()
            return problem
        except (redis.RedisError, MemoryError):
            raise
        except OSError as error:
            return f"what it needs cannot be kept in {self._models.cache.place}: {error.strerror or error}"
        except Exception as error:  # noqa: BLE001 - one bundle that cannot be used must not keep us from the others
            return str(error) or type(error).__name__
