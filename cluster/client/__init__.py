"""A cluster as its users see it: submit a run, follow it, have its result.

    with cluster.connect() as c:
        texts = c.submit("ocr", "scans/", lang="deu").result()

The command line uses this and nothing else of the project; ``tests/unit/test_architecture.py`` holds that.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis

from cluster import errors, redis_client, redis_outage, settings
from cluster.client.nodes import Machines
from cluster.client.run import Belongs, Run, RunsPage, Status, Which
from cluster.client.serving import Serving
from cluster.client.simulation import simulate
from cluster.stores import Stores

if TYPE_CHECKING:
    from cluster.bundles.store import ModelStore
    from cluster.client.accounts import Accounts
    from cluster.client.models import Models
    from cluster.client.origin import Origin
    from cluster.client.session import Session
    from cluster.client.source import Given
    from cluster.client.submission import Submission
    from cluster.embedded.private import Private
    from cluster.job import Job
    from cluster.settings import Settings

__all__ = ["Client", "Run", "connect", "local", "simulate"]
given_up = redis_outage.given_up
"""Once it is set, nothing in this process waits for a Redis that is away any more."""
LEAVE_S = 5.0
"""How long a run's thread may take to let go, which may be waiting for its input or for Redis."""
log = logging.getLogger(__name__)


def connect(broker: str | None = None, **settings_: Any) -> Client:
    """A client of the cluster at ``broker``, by default that of ``CLUSTER_BROKER_URL``; without one, as ``local()``.

    Args:
        broker: The URL that `cluster up` prints.
        settings_: Settings that win over the environment and the config file, as ``chunk_time_limit_s=60``.

    Raises:
        errors.BadSetting: A setting cannot be used.
        errors.BrokerError: The cluster does not answer.
    """
    return Client(settings.load(broker_url=broker, **settings_))


def local(slots: int | None = None, **settings_: Any) -> Client:
    """A client of a private cluster on this machine, whatever ``CLUSTER_BROKER_URL`` says.

    It starts with the first run and ends with the client. Each job has a worker of its own, which stays for the next
    run of that job, until another job is submitted while it has nothing to do.

    Args:
        slots: Of each worker, which are its processes; None: as many as the machine has cores and memory for.
        settings_: As for ``connect``.

    Raises:
        errors.BadSetting: A setting cannot be used.
    """
    config = settings.load(**settings_)
    return Client(config.model_copy(update={"broker_url": None}), slots=slots)


def existing(broker: str | None = None, *, patient: bool = False) -> Client:
    """A client of the cluster at ``broker``, by default that of ``CLUSTER_BROKER_URL``; never of a private one.

    Where none is named, it is that of the `cluster web`, or `cluster up --data`, that keeps one on this machine now.

    Args:
        broker: As for ``connect``.
        patient: Wait for a Redis that is away, also where only a look is asked for.

    Raises:
        errors.BrokerError: None is named and none is kept here, or it does not answer.
    """
    config = settings.load(broker_url=broker)
    if config.broker_url is None:
        from cluster.client import own_cluster

        if url := own_cluster.running(config):
            config = settings.load(broker_url=url)
    config.require_broker()
    return Client(config, patient=patient)


def of_run(run: str, broker: str | None = None, *, patient: bool = False) -> Client:
    """A client of the cluster that has a run: ``existing``, or without a broker the private one that was stopped.

    Raises:
        errors.BrokerError: As ``existing``.
        errors.RunBusy: A process of this machine works on that private run.
    """
    config = settings.load(broker_url=broker)
    if config.broker_url is None:
        from cluster.embedded import private

        root = private.folder(config)
        if private.find(root, run):
            return Client(config, kept=private.reopen(root, run))
    return existing(broker, patient=patient)


class Client(Serving, Machines):
    """A cluster to work with. Use it in a ``with``, or call ``close``; any thread may use it.

    Leaving the ``with`` waits for what would be lost otherwise: on a private cluster for the runs to end, as it ends
    with the client; on one that stays until the input of each run is read, from when on the run needs this process no
    more. Left by an error or Ctrl-C, it cancels the runs for which it would wait.

    Args:
        config: Names the broker; without one, the cluster is a private one on this machine.
        slots: Of each worker of a private one.
        patient: Wait for a Redis that is away, also where only a look is asked for.
        kept: The folder of the one run of a private one, which stays until its result is written.
    """

    def __init__(
        self, config: Settings, *, slots: int | None = None, patient: bool = False, kept: Private | None = None
    ) -> None:  # fmt: skip
        self.config = config
        self.is_private = config.broker_url is None
        self._slots, self._patient = slots, patient
        self._kept: Private | None = None
        self._runs: list[Run] = []
        self._own_jobs: dict[tuple[str, str], Job] = {}
        self._lock = threading.RLock()
        self._open = ExitStack()
        self._session: Session | None = None
        self._stores: Stores | None = None
        self._is_closed = False
        if kept:
            self.keep_in(kept)
        if not self.is_private:
            redis_client.check(config.require_broker())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if self._session is not None and isinstance(error, redis.RedisError):
                self._session.check_after_error()
        finally:
            self._close(is_error=error is not None)

    def close(self) -> None:
        """Wait for what would be lost otherwise, then let go of the cluster; may be called again.

        Raises:
            BaseException: What a run's background thread ended with, if no waiting method has raised it before.
        """
        self._close(is_error=False)

    # Runs.

    def submit(
        self, job: str | Job, source: Given, /, *, detach: bool = False, save: str | Path | None = None,
        format: str | None = None, belongs: Belongs | None = None, **options: Any,
    ) -> Run:  # fmt: skip
        """Begin a run and return; this process reads the input in the background.

        Args:
            job: The name of a job (``cluster jobs`` lists them); or a ``Job`` that no package brings, on a private
                cluster only.
            source: Files and folders, or items in memory: see ``client.source.Given``.
            detach: Leave reading the input to a process that outlives this one. Paths only, and not on a private
                cluster.
            save: A folder of this machine for the checkpoints of a job that trains in rounds.
            format: The format that the result is to be written in, where the run must keep more for it: of ``ocr`` the
                places of words for ``pdf``, ``hocr``, ``alto`` and ``tsv``.
            belongs: The user whose run it is, and what it comes from.
            options: The job's, and ``chunk_size``.

        Raises:
            errors.UsageError: The job, an option or the input cannot be used.
            errors.JobUnavailable: The cluster is a private one, and this machine cannot do the job.
            errors.BrokerError: The cluster does not answer.
        """
        with self.prepare(job, options, save, format, belongs) as submission:
            if detach:
                return submission.detach(_texts(source))[0]
            return submission.start(submission.read(source), background=True)

    def prepare(
        self, job: str | Job, options: dict[str, Any], save: str | Path | None = None, format: str | None = None,
        belongs: Belongs | None = None,
    ) -> Submission:  # fmt: skip
        """Find out all that can be known of a run before it is opened.

        Raises:
            As ``submit``.
        """
        from cluster import catalog
        from cluster.client import machine, saving
        from cluster.client.submission import Submission

        packed = b""
        if isinstance(job, str):
            job = catalog.get(job)
        elif catalog.jobs().get(job.name) is not job:
            job, packed = self._pack(job)
        if format is not None and format not in job.format_names:
            raise job.no_format(format)
        options = job.options_for(format, options)
        job.check_given(options)
        machine.require_model_can_be_made(job)
        folder = None if save is None else Path(save).absolute()
        given = job.options_of_run(saving.options(job, options, folder))
        machine.require_model_can_be_kept(job, self.config)
        if job.bundles and any(given.get(name) is not None for name in ("model", "from_model")):
            given = self.model_store.pin(job, given)
        return Submission(self, job, given, packed, folder, belongs)

    def open(
        self, job: Job, options: dict[str, Any], packed: bytes = b"", origin: Origin | None = None,
        belongs: Belongs | None = None,
    ) -> Run:  # fmt: skip
        """Open a run whose input nobody reads yet.

        Args:
            job: The run's.
            options: The run's.
            packed: The job's file where no package brings it.
            origin: The command that opens it, where the same command is to go on with it.
            belongs: Whose it is.
        """
        with self._lock:
            self.serve_run(job, options, packed)
            return self.ours(self.session.start(job, options, origin, belongs), job, job.requirement(options))

    def serve_run(self, job: Job, options: Mapping[str, Any], packed: bytes = b"") -> None:
        """See that a private cluster has a worker for a run; does nothing for another cluster.

        Raises:
            errors.JobUnavailable: This machine cannot do it.
        """
        from cluster.client.session import require_here

        if self.is_private:
            require_here(self.config, job, options)
        with self._lock:
            session = self.session
            file = session.folder / f"{job.capability}.job" if packed else None
            if file is not None:
                file.write_bytes(packed)
                self._own_jobs[job.name, job.version] = job
            busy = [run.requirement for run in self._runs if not run.is_over]
            session.serve(job, options, file, busy)

    def ours(self, id: str, job: Job, requirement: str) -> Run:
        """A run that this process is to bring forward: leaving the client waits for it."""
        with self._lock:
            run = Run(id, self.session, self.find, job, requirement)
            self._runs.append(run)
        return run

    def resume(self, run: str, source: Given | None = None, *, save: str | Path | None = None) -> Run:
        """Go on with a run whose submitter is gone; what was read of its input is not done again.

        Args:
            run: Its id.
            source: What it was submitted with; None where all of it was read.
            save: As for ``submit``; the folder that was named there counts on that machine only.

        Raises:
            errors.RunOver: It was given up.
            errors.UsageError: Its input is needed, or cannot be used.
            errors.JobUnavailable: This machine has the job in another version.
        """
        from cluster.client import resume

        status = self.run(run).status(failures=False)
        resume.require_possible(status, has_input=source is not None)
        return resume.take_up(self, status, source, background=True, save=None if save is None else Path(save))

    def run(self, id: str) -> Run:
        """Return a run by its id, also one of another client. An unknown id raises only when the run is used."""
        with self._lock:
            for run in self._runs:
                if run.id == id:
                    return run
        return Run(id, self._looking(), self.find)

    def keep_in(self, kept: Private) -> None:
        """Keep the run of this private cluster, which is not started yet, in a folder until its result is written."""
        self._kept = kept
        self._open.callback(kept.close)  # after the programs that work there

    @property
    def keeps(self) -> bool:
        """Whether the run of this private cluster outlasts it."""
        return self._kept is not None

    def drop_kept(self) -> None:
        """The run's folder is of no use any more: it goes with this client."""
        if self._kept:
            self._kept.is_over = True

    def find(self, name: str, version: str) -> Job:
        """The job of a run. Parts of another version may have another form, so that one joins nothing here.

        Raises:
            errors.JobUnavailable: It has another version here.
            errors.UnknownJob: There is none here.
        """
        from cluster import catalog, logs

        if own := self._own_jobs.get((name, version)):
            return own
        job = catalog.get(name)
        if job.version != version:
            raise errors.JobUnavailable(
                f"the run is of version {logs.plain(version) or 'none'} of the job {name}; here is version"
                f" {job.version or 'none'}"
            )
        return job

    def runs(self, most: int = 20) -> list[Status]:
        """The runs of the cluster, the latest first."""
        return self.stores.ledger.runs.latest(most)

    def statuses(self, runs: Sequence[str]) -> list[Status]:
        """The status of some hundreds of runs at most, without their failures; those that are gone are left out."""
        return self.stores.ledger.runs.statuses(runs)

    def runs_page(self, most: int = 50, before: str = "", which: Which = Which()) -> RunsPage:  # noqa: B008
        """Some of the runs, the latest first.

        Args:
            most: How many at most.
            before: As the page before gives it; "" for the first page.
            which: The runs that are looked for.
        """
        return self.stores.ledger.listings.runs(most, before, which)

    def ended(self, older_than_s: float = 0) -> list[Status]:
        """The runs that are done, failed or cancelled for ``older_than_s`` seconds, the latest first."""
        from cluster.coordinator import prune

        return prune.ended(self.stores, older_than_s)

    def prune(self, runs: Sequence[Status]) -> list[Status]:
        """Remove these runs with their results, but for those that are running; gives those it removed."""
        from cluster.client.submission import drop_log
        from cluster.coordinator import prune

        removed = prune.prune(self.stores, runs)
        for run in removed:
            drop_log(self.config, run.run)
        return removed

    # The cluster.

    def older_runs(self) -> Mapping[str, str]:
        """The runs of the version before that have not ended, the latest first -> what they need, for people."""
        return self.stores.ledger.runs.older()

    simulate = staticmethod(simulate)

    @property
    def models(self) -> Models:
        """The models of the cluster; of a private one, those of this machine."""
        from cluster.client.models import Models

        return Models(self)

    @property
    def accounts(self) -> Accounts:
        """The users of the cluster's page."""
        from cluster.client.accounts import Accounts

        return Accounts(self.stores.redis)

    def master(self, *, patient: bool = True) -> AbstractContextManager[object]:
        """Take over runs whose submitter is gone, as long as the ``with`` of what this gives: `cluster master`.

        Args:
            patient: Wait for a Redis that is away, where messages are published.

        Raises:
            errors.BadSetting: This machine keeps bytes or models elsewhere than the cluster does.
        """
        from cluster import celery_app
        from cluster.client.session import whoami
        from cluster.coordinator.master import Master
        from cluster.nodes import places

        places.require(self.stores, self.config)
        with ExitStack() as held:
            app = held.enter_context(closing(celery_app.build(self.config, patient=patient)))
            held.enter_context(Master(app, self.stores, self.config, whoami()))
            return held.pop_all()

    # What it has open.

    @property
    def model_store(self) -> ModelStore:
        """The models that runs get: those of the cluster; of a private cluster those of this machine."""
        from cluster.bundles import store

        return store.here(self.config) if self.is_private else self.stores.models

    @property
    def session(self) -> Session:
        """The session that coordinates the runs of this process. A private cluster starts at the first access."""
        from cluster.client.session import CLOSED, Session

        with self._lock:
            if self._is_closed:
                raise errors.BrokerError(CLOSED)
            if self._session is None:
                self._session = self._open.enter_context(Session(self.config, self._slots, kept=self._kept))
                atexit.register(self.close)  # what is being submitted is not lost where it is forgotten
            return self._session

    @property
    def stores(self) -> Stores:
        """Where to look. It does not wait for a Redis that is away, unless the client is ``patient``."""
        if self.is_private:
            return self.session.stores
        with self._lock:
            if self._stores is None:
                self._stores = Stores.connect(self.config, patient=self._patient)
            return self._stores

    def _looking(self) -> Session:
        """The session for what others coordinate."""
        from cluster.client.session import Session

        return self.session if self.is_private else Session(self.config, stores=self.stores)

    def _pack(self, job: Job) -> tuple[Job, bytes]:
        from cluster.embedded import jobs

        if not self.is_private:
            raise errors.UsageError(
                f"the nodes of this cluster do not have the job {job.name}: install a package with it there (see"
                " docs/howto/own-job.md), or submit it to a private cluster, `cluster.local()`"
            )
        if job.bundles:
            raise errors.UsageError(f"the job {job.name} takes models, so it must come by a package")
        return jobs.pack(job)

    def _close(self, *, is_error: bool) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True  # nothing is submitted from here on
            waited_for, self._runs = self._runs, []
        try:
            if is_error:
                self._give_up(waited_for)
            else:
                for run in waited_for:
                    run.wait_while_needed(to_its_end=self.is_private)
        except BaseException:
            self._give_up(waited_for)
            raise
        finally:
            for run in waited_for:
                run.leave(LEAVE_S)
            self._open.close()
            atexit.unregister(self.close)
        for run in waited_for:
            if run.error is not None and not run.error_is_told and not is_error:
                raise run.error

    def _give_up(self, waited_for: Sequence[Run]) -> None:
        """Cancel the runs that would be lost."""
        for run in waited_for:
            try:
                if run.is_ours and (self.is_private or not run.is_read):
                    run.cancel("its client ended")
            except Exception as error:  # noqa: BLE001 - what came first is told
                log.warning("run %s is not cancelled: %s", run.id, error)


def _texts(source: Given) -> list[str]:
    given = [source] if isinstance(source, str | Path) else list(source)
    if not all(isinstance(path, str | Path) for path in given):
        raise errors.UsageError("detach=True is for files and folders: what is in memory goes with this process")
    return [str(path) for path in given]
