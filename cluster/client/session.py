"""A cluster to work with: the one the settings name, or a private one on this machine."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis
from pydantic import SecretStr

from cluster import errors, keys, logs, names
from cluster.client.pages import Pages
from cluster.coordinator.cancel import cancel
from cluster.coordinator.pause import pause
from cluster.inputs import Source, for_splitter
from cluster.job import Job
from cluster.ledger.row import Belongs, RunPolicy
from cluster.nodes import places, wanted
from cluster.settings import Settings
from cluster.stores import Stores
from splitters import Chunk, PassedOver, files
from splitters.items import Items
from splitters.spool import Sent

if TYPE_CHECKING:
    from celery import Celery

    from cluster.client.origin import Origin
    from cluster.coordinator.supervise import Supervisor
    from cluster.embedded import LocalCluster
    from cluster.embedded.private import Private
    from cluster.ledger.lease import Role

NEWS_S = 2.0
"""How long a private cluster that has lost a program may take to know it."""
LEASE_POLL_S = 0.25
MOST_SERVING_SLOTS = 8
"""Slots of the worker of a private cluster that serves, however many cores there are: its slots take no chunks."""
CLOSED = "this client is closed; what its runs gave is read before that"


class Session:
    """A cluster that is open to work with: the one of ``config.broker_url``, or a private one. Use it in a ``with``.

    Args:
        config: Names the broker; without one, the cluster is a private one on this machine.
        slots: Of each worker of a private one; None: as many as the machine has room for.
        stores: Where its runs are kept, if that is open already.
        kept: The folder of the only run of a private one, which outlasts it.

    Raises:
        errors.BrokerError: The cluster does not answer, or none can be started.
    """

    def __init__(
        self, config: Settings, slots: int | None = None, stores: Stores | None = None, kept: Private | None = None
    ) -> None:  # fmt: skip
        self.is_private = config.broker_url is None
        self.config = config
        self._slots = slots
        self._kept = kept
        self._open = ExitStack()
        self._local: LocalCluster | None = None
        self._workers: dict[str, str] = {}  # requirement -> the worker that serves it
        self._serving: set[str] = set()  # jobs with a worker whose replicas serve them
        self._opening = threading.Lock()
        self._is_closed = False
        if stores is not None:
            self._stores = stores

    def __enter__(self) -> Self:
        if self.is_private:
            from cluster.embedded import LocalCluster

            self.config = self.config.model_copy(update={"bundle_dir": self.config.models_folder})
            self._local = self._open.enter_context(LocalCluster(kept=self._kept))
            self.config = self.config.model_copy(update={"broker_url": SecretStr(self._local.url)})
            if self._kept:
                self._forget_processes(self._kept.run)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self._open.close()

    def _forget_processes(self, run: str) -> None:
        """Forget what worked on the run of a private cluster: it ended. What workers held is published again."""
        for incarnation in self.stores.nodes.incarnations():
            self.stores.nodes.forget(incarnation.id)
        self.stores.ledger.runs.free(run)

    def serve(
        self, job: Job, options: Mapping[str, Any], job_file: Path | None = None, busy: Collection[str] = ()
    ) -> None:
        """See that a private cluster has a worker for a run with these options; does nothing for another cluster.

        Args:
            job: The run's.
            options: The run's.
            job_file: Where the job lies that no distribution brings, see ``embedded.jobs``.
            busy: Requirements of runs that go on. The workers of all others are ended: each fills the machine.
        """
        requirement = job.requirement(options)
        with self._opening:
            if self._local is None or requirement in self._workers:
                return
            for idle in self._workers.keys() - set(busy):
                self._local.end_worker(self._workers.pop(idle))
            self._workers[requirement] = self._local.start_worker(
                [keys.queue(requirement)], task_events=False, polite=self._is_polite,
                bundle_dir=self.config.bundle_dir, slots=self._slots, job_file=job_file,
            )  # fmt: skip

    def serve_on(self, job: Job, replicas: int) -> None:
        """See that a private cluster has a worker whose replicas serve a job with any model, to the cluster's end.

        A node has a replica a slot at most: it gets slots for as many replicas, or more.
        """
        with self._opening:
            if self._local is None or job.name in self._serving:
                return
            from cluster.worker import capacity

            self._serving.add(job.name)
            usual = self._slots or self.config.slots or min(MOST_SERVING_SLOTS, capacity.slots(self.config))
            self._local.start_worker(
                [keys.queue(job.capability)], task_events=False, polite=self._is_polite,
                bundle_dir=self.config.bundle_dir, slots=max(replicas, usual),
            )  # fmt: skip

    @property
    def _is_polite(self) -> bool:
        """Its user waits for it and wants the whole machine for it, unless these settings were set on purpose."""
        return not self.config.model_fields_set.isdisjoint({"slots_in_use", "memory_floor_bytes"})

    @property
    def folder(self) -> Path:
        """The folder of a private cluster, which goes with it."""
        assert self._local is not None  # noqa: S101 - asked of private ones only
        return self._local.folder

    @property
    def stores(self) -> Stores:
        """Where its runs are kept.

        Raises:
            errors.BrokerError: It was a private cluster, which ended with the client.
        """
        if self.is_private and self._is_closed:
            raise errors.BrokerError(CLOSED)
        return self._stores

    @functools.cached_property
    def _stores(self) -> Stores:
        # A private Redis that does not answer is dead; nobody will start it again.
        return Stores.connect(self.config, patient=not self.is_private)

    @property
    def app(self) -> Celery:
        """To publish with. It brings Celery with it: ask for it once a private cluster's worker is starting."""
        with self._opening:
            return self._app

    @functools.cached_property
    def _app(self) -> Celery:
        from cluster import celery_app

        return self._open.enter_context(closing(celery_app.build(self.config, patient=not self.is_private)))

    def check(self, wait_s: float) -> None:
        """See that a private cluster still runs.

        Raises:
            errors.BrokerError: It has lost its Redis or its worker. Waits ``wait_s`` for that to be known.
        """
        if self._local is not None:
            self._local.check(wait_s)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Say why the Redis of a private cluster is away, where it is: it is ours, so we know better."""
        try:
            yield
        except redis.RedisError:
            self.check_after_error()
            raise

    def check_after_error(self) -> None:
        """See that a private cluster still runs, once the news of its end have had time to come: see ``check``."""
        self.check(NEWS_S)

    def start(
        self, job: Job, options: Mapping[str, Any], origin: Origin | None = None, belongs: Belongs | None = None
    ) -> str:  # fmt: skip
        """Open a run; gives its id.

        Args:
            job: The run's.
            options: The run's.
            origin: The command that opens it, where the same command is to go on with it.
            belongs: Whose it is.

        Raises:
            errors.BadSetting: This machine keeps bytes or models elsewhere than the cluster does.
            errors.UnknownBundle: What it was to be begun with was removed meanwhile.
        """
        places.require(self.stores, self.config)
        run = self._kept.run if self._kept else names.new_run(job.name)
        requirement = job.requirement(options)
        self.stores.ledger.runs.create(
            run, job.name, job.version, options, whoami(), requirement, RunPolicy.of(self.config),
            *(origin or ("", "")), belongs=belongs,
        )  # fmt: skip
        if self._kept:
            self._kept.is_over = False
        if requirement != job.capability:
            wanted.enter(self.stores.redis, requirement, run)
            try:
                self.stores.models.require(job, options)  # from now on a removal of the model sees the run
            except Exception as error:
                with suppress(redis.RedisError):
                    self.stores.ledger.runs.stop(run, "failed", str(error))
                raise
        return run

    def cancel(self, run: str, reason: str) -> tuple[bool, str]:
        """End a run now: whether this call did it, and the state it is in."""
        return cancel(run, self.stores, reason)

    def pause(self, run: str, why: str) -> str:
        """Begin no more of a run: see ``coordinator.pause``."""
        return pause(run, self.stores, why)

    def fail(self, run: str, reason: str) -> None:
        """End a run that cannot be done."""
        cancel(run, self.stores, reason, "failed")

    def coordinate(
        self, job: Job, run: str, given: Input | None, on_wait: Callable[[], None], save: Path | None = None
    ) -> str:  # fmt: skip
        """Bring the run to its end; gives the state it ended in, or has ended in before. ``on_wait`` is called while
        waiting. Checkpoints of a run in rounds go to the folder ``save``.

        If part of the input is entered already, it goes on from there; without any it only waits, and sees
        that what is entered is done. A failure of ours fails the run, if nobody else has taken it over.

        Raises:
            errors.BadSetting: As for ``start``.
            errors.RunBusy: Another one reads its input.
            errors.InputChanged: The input is not the one that the run was begun with.
        """
        places.require(self.stores, self.config)
        # They bring Celery with them: a private cluster's worker starts while they are loaded.
        from cluster.coordinator.failure_detector import FailureDetector
        from cluster.coordinator.split import Coordinator
        from cluster.coordinator.supervise import Supervisor

        def wait() -> None:
            self.check(0)
            on_wait()

        role: Role = "splitter" if given else "supervisor"
        supervisor = Supervisor(self.app, job, run, self.stores, whoami(), role, save)
        coordinator = Coordinator(self.app, job, run, self.stores, self.config, supervisor, wait)
        try:
            _take(supervisor, run)
        except errors.RunOver:
            return self.stores.ledger.runs.progress(run).state
        # It may be paused, and what was on its way to workers that have ended is nowhere.
        supervisor.is_taken_up = self.stores.ledger.runs.go_on(run, whoami()) or self._kept is not None
        try:
            with FailureDetector(self.app, self.stores), supervisor:
                if given is None:
                    return coordinator.wait()
                if isinstance(given.source, Sent):
                    given.source.on_wait = coordinator.idle
                coordinator.count_ahead(given.source)
                return coordinator.coordinate(given.chunks, given.passed_over)
        except errors.InputChanged:
            raise
        except Exception as error:
            if supervisor.held is not None and self._kept is None:  # one that is kept is gone on with
                with suppress(redis.RedisError):
                    cancel(run, self.stores, f"its coordinator failed: {error}", "failed", supervisor.held.fence)
            raise


def _take(supervisor: Supervisor, run: str) -> None:
    """Take the run's lease, as soon as the lease of a process that may be dead has run out."""
    from cluster.ledger.lease import LEASE_S, Busy

    deadline = time.monotonic() + LEASE_S + 1
    while True:
        try:
            supervisor.lease()
            return
        except Busy as error:
            if time.monotonic() > deadline:
                owner = logs.plain(str(error))
                raise errors.RunBusy(
                    f"{owner} coordinates the run {run} now; `cluster result {run} --wait` waits for it"
                ) from None
            time.sleep(LEASE_POLL_S)


def whoami() -> str:
    """Names this process as a submitter and coordinator."""
    return names.process(socket.gethostname(), os.getpid())


def require_here(config: Settings, job: Job, options: Mapping[str, Any]) -> None:
    """See that this machine can do the job with these options.

    Raises:
        errors.JobUnavailable: It cannot; the message says why, and what to type.
    """
    from cluster import catalog
    from cluster.bundles import store

    problem = job.why_not_here(store.here(config).options(job, options))
    if problem:
        engine_problem = job.why_not_here()
        to_add = catalog.how_to_add(job.name) if engine_problem else ""
        hint = f"; to add it: {to_add}" if to_add else ""
        raise errors.JobUnavailable(f"this machine cannot do the job {job.name}: {problem}{hint}")


class Input:
    """The input of a run.

    The first chunk of files is read at once, so that a wrong input fails before the run starts; so do options that do
    not fit what a first chunk tells about it all. Items in memory may come slowly and are read only with the run.

    Raises:
        errors.UsageError: The input is missing or empty, or the options do not fit it.
    """

    def __init__(self, job: Job, source: Source, options: Mapping[str, Any]) -> None:
        self.source = source
        self._job = job
        self._options = options
        self._pages = Pages()
        self.passed_over = PassedOver()
        """The files that were left out among those already read."""
        self._begun = None if isinstance(source, Items) else self._begin(check=True)

    def chunks(self) -> Iterator[Chunk]:
        """All its chunks; the same ones again when asked again.

        Raises:
            errors.InputChanged: It is an iterator, and was read before.
        """
        begun, self._begun = self._begun, None
        self._pages.clear()
        return self._counted(begun or self._begin())

    def _counted(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._pages.add(chunk)
            yield chunk
        self._pages.end()

    def pages_of(self, document: str) -> int | None:
        """How many items of a document were read, see ``splitters.page_names``; None as long as more may come."""
        return self._pages.of(document)

    def _begin(self, *, check: bool = False) -> Iterator[Chunk]:
        self.passed_over.clear()
        chunks = self._job.chunks(self.source, self._options, self.passed_over)
        first = next(chunks, None)
        if first is None:
            raise errors.NothingToDo(
                f"nothing for the job {self._job.name} in {files.places(for_splitter(self.source))}"
            )
        if check and self._job.rounds:
            from cluster import rounds

            start = self._options.get("from_model") or ""
            base = Path(start) if names.is_folder(start) else None  # any other is fetched with the run
            rounds.Bound(self._job, self._options, rounds.about_of(first)).begin(base)
        return chain([first], chunks)
