"""Coordinate every run of a cluster that nobody coordinates."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import kombu.exceptions
import redis

from cluster import catalog, errors, placement
from cluster.coordinator import publish_model
from cluster.coordinator.failure_detector import FailureDetector
from cluster.coordinator.supervise import Supervisor
from cluster.job import Job
from cluster.stores import Stores

if TYPE_CHECKING:
    from celery import Celery

    from cluster.ledger.row import RunRow
    from cluster.settings import Settings

LOOK_S = 1.0
PUBLISHED_S = 10.0
"""Seconds after a run's end from which a master publishes its model, if the submitter has not."""
AGAIN_S = 60.0
FIELDS = ("version", "lease_until_ms", "finished_at", "report", "paused")
log = logging.getLogger(__name__)


class Master:
    """Watches the nodes, and has a ``Supervisor`` for each abandoned run it finds, from a thread of its own.

    What an abandoned run has trained is published here. Several may work side by side.

    Args:
        app: To publish with.
        stores: The cluster's.
        config: Limits of the parts that are read here.
        owner: Whom to name as coordinator.
    """

    def __init__(self, app: Celery, stores: Stores, config: Settings, owner: str) -> None:
        self._app = app
        self._stores = stores
        self._config = config
        self._publishing = ThreadPoolExecutor(max_workers=1)
        self._owner = owner
        self._detector = FailureDetector(app, stores)
        self._supervisors: dict[str, Supervisor] = {}
        self._passed: set[str] = set()  # runs that are over, or not for us
        self._told: set[str] = set()  # runs of jobs that are not installed here
        self._again: dict[str, float] = {}  # when to look again at some of them

        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="master", daemon=True)

    def __enter__(self) -> Master:
        self._detector.__enter__()
        self._thread.start()
        for run, needs in self._stores.ledger.runs.older().items():
            log.warning("the run %s was %s", run, needs, extra={"event": "older-run", "run": run})
        log.info("%s looks after the runs of this cluster", self._owner, extra={"event": "master"})
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._publishing.shutdown(wait=False, cancel_futures=True)
        self._thread.join(timeout=LOOK_S)
        for supervisor in self._supervisors.values():
            supervisor.__exit__(*error)
        self._detector.__exit__(*error)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.look()
            except (redis.RedisError, kombu.exceptions.OperationalError, OSError) as error:
                log.debug("runs cannot be listed now: %s", error)
            except Exception:
                log.exception("looking for runs failed; going on")
            self._ending.wait(LOOK_S)

    def look(self) -> None:
        """Look once for runs that nobody coordinates.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        for run in [run for run, supervisor in self._supervisors.items() if supervisor.over]:
            self._supervisors.pop(run).__exit__()
        if catalog.installed.has_changed():
            catalog.installed.look()
            self._passed -= self._told  # their jobs may be here by now
        listed = self._stores.ledger.runs.listed()
        self._passed.intersection_update(listed)
        self._told.intersection_update(listed)
        looked_at = [run for run in listed if run not in self._passed and run not in self._supervisors]
        now_s, rows = self._stores.ledger.runs.rows(looked_at, *FIELDS)
        for run, row in rows.items():
            job = catalog.jobs().get(row.job) if row else None
            if row is None:
                self._passed.add(run)  # no run of ours
            elif row.paused:
                continue  # until it goes on
            elif row.state == "running":
                if job is None or job.version != row.version:
                    self._pass(run, row)
                elif job.rounds and (why := job.rounds.why_unavailable()):
                    self._leave(run, f"cannot be coordinated here: {why}")
                elif row.lease_until_ms < now_s * 1000:
                    supervisor = Supervisor(self._app, job, run, self._stores, self._owner, "supervisor")
                    self._supervisors[run] = supervisor.__enter__()
            elif job is None or not job.trains or row.state != "done" or row.report:
                self._passed.add(run)
            elif (row.finished_at or 0.0) < now_s - PUBLISHED_S:
                self._passed.add(run)
                self._publishing.submit(self._publish, job, run)
        for run in [run for run, moment in list(self._again.items()) if time.monotonic() > moment]:
            del self._again[run]
            self._passed.discard(run)

    def _pass(self, run: str, row: RunRow) -> None:
        """Leave a run to others, until something is installed here."""
        named = f"{row.job}, version {row.version}" if row.version else row.job
        self._leave(run, f"is of a job that is not installed here: {named}")

    def _leave(self, run: str, why: str) -> None:
        if run not in self._told:
            log.warning("run %s %s", run, why, extra={"run": run})
        self._told.add(run)
        self._passed.add(run)

    def _publish(self, job: Job, run: str) -> None:
        apart = False
        try:
            status = self._stores.ledger.runs.status(run)
            publish_model.publish(
                job, status, self._stores, self._config, self._owner, wait=False
            )  # others wait for us
        except errors.OtherProcess:  # the packages of another bundle are in use here
            apart = True
        except errors.RunFailed as error:  # it will not get better
            log.warning("run %s: %s", run, error, extra={"run": run})
        except (errors.ClusterError, redis.RedisError) as error:
            self._again[run] = time.monotonic() + AGAIN_S
            log.warning("run %s is done and its model is not published yet: %s", run, error, extra={"run": run})
        except Exception:
            log.exception("run %s is done and its model is not published", run, extra={"run": run})
        if apart:
            self._publish_apart(run)

    def _publish_apart(self, run: str) -> None:
        """In a process of its own, which ends with us."""
        try:
            code, said = self._run_apart(["result", run, "--output", os.devnull])
        except OSError as error:
            code, said = errors.ClusterError.exit_code, str(error)
        if code not in (0, errors.ITEMS_MISSING_EXIT_CODE) and not self._ending.is_set():
            why = said.strip().rpartition("\n")[2]
            log.warning("run %s is done and its model is not published: %s", run, why, extra={"run": run})
            if code != errors.RunFailed.exit_code and "Traceback" not in said:  # else it will not get better
                self._again[run] = time.monotonic() + AGAIN_S

    def _run_apart(self, arguments: list[str]) -> tuple[int, str]:
        """The exit code of a command, and what it said on stderr."""
        with subprocess.Popen(
            [sys.executable, "-m", "cluster", *arguments],
            env=placement.environment(CLUSTER_BROKER_URL=self._config.given_broker()),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        ) as child:  # fmt: skip
            while True:
                try:
                    _, said = child.communicate(timeout=LOOK_S)
                except subprocess.TimeoutExpired:
                    if self._ending.is_set():
                        child.terminate()
                else:
                    return child.returncode, said
