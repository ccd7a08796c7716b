"""Which labels a node can serve: what its jobs need besides themselves is found out, and fetched, in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import redis

from cluster import errors
from cluster.bundles import requirements, shelf
from cluster.job import Job
from cluster.runs import Stores, demand

LOOK_S = 30.0
"""Between two looks where nothing was heard: demand ends with its runs, which nobody tells."""
AGAIN_S, MOST_AGAIN_S = 2.0, 60.0
"""Before something that failed is tried again, the first time and in the end."""
log = logging.getLogger(__name__)


class Found(NamedTuple):
    """What a node can serve besides the plain jobs."""

    serves: frozenset[str] = frozenset()
    missing: Mapping[str, str] = {}
    """Label -> why not."""
    bundles: Sequence[str] = ()
    """Those it holds."""


class Keeper:
    """Looks when the revision of demand and bundles has changed: at each change one look, however many nodes.

    Args:
        stores: The cluster's, which are not waited for.
        jobs: What this node does.
        missing: Label -> why this node leaves out a job.
    """

    def __init__(self, stores: Stores, jobs: Sequence[Job], missing: Mapping[str, str]) -> None:
        self._stores = stores
        self._jobs = {job.label: job for job in jobs}
        self._left_out = dict(missing)
        self.found = Found(missing=self._left_out)
        """As of the last look. Replaced, never changed."""
        self._held: dict[str, str] = {}
        self._revision = -1
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to look, unless begun."""
        if not self._thread.is_alive():
            self._thread.start()

    def heard(self, revision: int) -> None:
        """This is the revision now."""
        if revision != self._revision:
            self._revision = revision
            self._due.set()

    def _run(self) -> None:
        pause_s = LOOK_S
        while True:
            heard = self._due.wait(pause_s)
            self._due.clear()
            try:
                self.look()
                troubled = len(self.found.missing) > len(self._left_out)
            except (redis.RedisError, OSError) as error:
                log.debug("what this node can serve cannot be found out now: %s", error)
                troubled = True
            except Exception:
                log.exception("finding out what this node can serve failed; going on")
                troubled = True
            # At ever longer intervals: a fetch that fails costs as much as one that does not.
            again_s = AGAIN_S if heard else min(2 * pause_s, MOST_AGAIN_S)
            pause_s = again_s if troubled else LOOK_S

    def look(self) -> None:
        """Find out what this node can serve now; ``found`` grows as that goes on, for fetching may take long.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        demanded = set(demand.read(self._stores.ledger.redis))
        wanted = demanded | self._announced()
        serves, missing = set(self.found.serves & wanted), dict(self._left_out)
        self._held = {}
        # First what is served already, which stays (see ``_conflict``), then what runs wait for.
        for label in sorted(wanted, key=lambda label: (label not in self.found.serves, label not in demanded, label)):
            job = self._jobs.get(label.partition("@")[0])
            if job is None:
                continue
            why = self._why_not(job, label)
            if why:
                missing[label] = why
                serves.discard(label)
                if self.found.missing.get(label) != why:
                    log.warning("this node does not serve %s: %s", label, why, extra={"event": "label-left-out"})
            else:
                serves.add(label)
            unchanged = {label: why for label, why in self.found.missing.items() if label in wanted - serves}
            self.found = Found(frozenset(serves), {**unchanged, **missing}, sorted(self._held))
        self.found = Found(frozenset(serves), missing, sorted(self._held))
        self._stores.models.cache.evict(self._held.values())

    def _announced(self) -> set[str]:
        """The labels of the current bundles, with which runs may be submitted at any moment."""
        return {
            job.label_with({"model": manifest.ref})
            for manifest in self._stores.models.current()
            for job in self._jobs.values()
            if job.bundles == manifest.job
        }

    def _why_not(self, job: Job, label: str) -> str:
        """Why this node cannot serve a label, once all is fetched and installed that may be; "" if it can."""
        models = self._stores.models
        try:
            needs = job.needs_of(label)
            ref = shelf.version(job, needs)
            if job.label in self._left_out and not (ref and models.manifest(ref).requirements):
                return self._left_out[job.label]  # and no bundle brings what it lacks: none is fetched for it
            problem = models.problem(job, needs)
            if not problem and ref:
                problem = self._conflict(ref)
                self._held[ref] = models.manifest(ref).digest
            return problem
        except (errors.ClusterError, ValueError) as error:
            return str(error)
        except OSError as error:
            return f"what it needs cannot be kept in {models.cache.place}: {error.strerror or error}"

    def _conflict(self, ref: str) -> str:
        """Which other bundle needs a package in another version: a slot has only one of them."""
        packages = self._stores.models.packages
        for other in self._held:
            if problem := requirements.difference(packages(ref), packages(other)):
                return f"{problem} for {other}, which this node serves"
        return ""
