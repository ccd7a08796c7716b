"""A cluster to work with: the one the settings name, or a private one on this machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import redis
from pydantic import SecretStr

from cluster import errors, keys, logs, names, redis_client, runs
from cluster.bundles import shelf
from cluster.job import Job, Source, paths
from cluster.ledger.row import RunPolicy
from cluster.nodes import places
from cluster.runs import Stores, demand
from cluster.runs.cancel import cancel
from cluster.settings import Settings
from splitters import Chunk, PassedOver

if TYPE_CHECKING:
    from celery import Celery

    from cluster.runs.lease import Role
    from cluster.runs.supervise import Supervisor

NEWS_S = 2.0
LEASE_POLL_S = 0.25


@dataclass(frozen=True)
class Session:
    """What a submitter needs of a cluster."""

    config: Settings
    stores: Stores
    app: Celery
    check: Callable[[float], None]
    """Raises ``errors.BrokerError`` when a private cluster has lost its Redis or its worker; waits so many
    seconds for it to be known."""

    def start(self, job: Job, options: Mapping[str, Any]) -> str:
        """Open a run; gives its id.

        Raises:
            errors.BadSetting: This machine keeps bytes or models elsewhere than the cluster does.
            errors.UnknownBundle: What it was to be begun with was removed meanwhile.
        """
        if why := places.disagreement(self.stores, self.config):
            raise errors.BadSetting(f"no run is begun: {why}")
        run = names.new_run(job.name)
        label = job.label_with(options)
        self.stores.ledger.create(run, job.name, job.version, options, whoami(), label, RunPolicy.of(self.config))
        if label != job.label:
            demand.enter(self.stores.redis, label, run)
            try:
                self.stores.models.require(job, options)  # who removes it now sees the run
            except Exception as error:
                with suppress(redis.RedisError):
                    self.stores.ledger.stop(run, "failed", str(error))
                raise
        return run

    def coordinate(
        self, job: Job, run: str, given: Input | None, on_wait: Callable[[], None]
    ) -> str:  # fmt: skip
        """Bring the run to its end; gives the state it ended in, or has ended in before. ``on_wait`` is called while
        waiting.

        If part of the input is entered already, it goes on from there; without any it only waits, and sees
        that what is entered is done. A failure of ours fails the run, if nobody else has taken it over.

        Raises:
            errors.RunBusy: Another one reads its input.
            errors.InputChanged: The input is not the one that the run was begun with.
        """
        # They bring Celery with them: a private cluster's worker starts while they are loaded.
        from cluster.runs.coordinate import Coordinator
        from cluster.runs.supervise import Supervisor
        from cluster.runs.watch import Watch

        def wait() -> None:
            self.check(0)
            on_wait()

        role: Role = "splitter" if given else "supervisor"
        supervisor = Supervisor(self.app, job, run, self.stores, whoami(), role)
        coordinator = Coordinator(self.app, job, run, self.stores, self.config, supervisor, wait)
        try:
            _take(supervisor, run)
        except errors.RunOver:
            return self.stores.ledger.progress(run).state
        try:
            with Watch(self.app, self.stores), supervisor:
                if given is None:
                    return coordinator.wait()
                coordinator.count_ahead(given.source)
                return coordinator.coordinate(given.chunks, given.passed_over)
        except errors.InputChanged:
            raise
        except Exception as error:
            if supervisor.held is not None:
                with suppress(redis.RedisError):
                    cancel(run, self.stores, f"its coordinator failed: {error}", "failed", supervisor.held.fence)
            raise


@contextmanager
def opened(config: Settings, job: Job, options: Mapping[str, Any]) -> Iterator[Session]:
    """A session on the cluster of ``config.broker_url``; without one, on a private one for this ``job``.

    Raises:
        errors.BrokerError: The cluster does not answer, or none can be started.
        errors.JobUnavailable: It would be a private one, and this machine cannot do the job.
    """
    if config.broker_url is not None:
        redis_client.check(config.require_broker())
        from cluster import celery_app

        with closing(celery_app.build(config)) as app:
            yield Session(config, runs.connect(config), app, lambda wait_s: None)
        return
    from cluster.embedded import LocalCluster

    private = config.model_copy(update={"bundle_dir": config.models_folder})
    require_here(private, job, options)
    with LocalCluster() as local:
        # Who submits here waits for it, and uses the machine with just that; unless these were set on purpose.
        polite = not config.model_fields_set.isdisjoint({"slots_in_use", "memory_floor_bytes"})
        local.start_worker(
            [keys.queue(job.label_with(options))], task_events=False, polite=polite, bundle_dir=private.bundle_dir
        )
        from cluster import celery_app

        private = private.model_copy(update={"broker_url": SecretStr(local.url)})
        # A private Redis that does not answer is dead; nobody will start it again.
        stores = runs.connect(private, patient=False)
        with closing(celery_app.build(private, patient=False)) as app:
            try:
                yield Session(private, stores, app, local.check)
            except redis.RedisError:
                local.check(NEWS_S)  # it is ours: we know better why it is away
                raise


def _take(supervisor: Supervisor, run: str) -> None:
    """Take the run's lease, as soon as that of one who may be dead has run out."""
    from cluster.runs.lease import LEASE_S, Busy

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


def pinned(config: Settings, job: Job, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the version of the bundle they name; see ``Shelf.pin``."""
    if config.broker_url is not None:
        return runs.connect(config, patient=False).models.pin(job, options)
    return shelf.here(config).pin(job, options)


def require_here(config: Settings, job: Job, options: Mapping[str, Any]) -> None:
    """See that this machine can do the job with these options.

    Raises:
        errors.JobUnavailable: It cannot; the message says why, and what to type.
    """
    from cluster import nodes

    problem = job.why_unavailable(shelf.here(config).options(job, options))
    if problem:
        engine_problem = job.why_unavailable()
        to_add = nodes.how_to_add(job.name) if engine_problem else ""
        hint = f"; to add it: {to_add}" if to_add else ""
        raise errors.JobUnavailable(f"this machine cannot do the job {job.name}: {problem}{hint}")


class Input:
    """What a run is to read. Its first chunk is read already, so that a wrong input is known now.

    Raises:
        errors.UsageError: The input is missing or empty.
    """

    def __init__(self, job: Job, source: Source, options: Mapping[str, Any]) -> None:
        self.source = source
        self._job = job
        self._options = options
        self.passed_over = PassedOver()
        """The files that are left out, of what was read so far."""
        chunks = job.chunks(source, options, self.passed_over)
        first = next(chunks, None)
        if first is None:
            raise errors.NothingToDo(f"nothing for the job {job.name} in {', '.join(map(str, paths(source)))}")
        self._begun: Iterator[Chunk] | None = chain([first], chunks)

    def chunks(self) -> Iterator[Chunk]:
        """All its chunks; the same ones again when asked again."""
        begun, self._begun = self._begun, None
        if begun is None:
            self.passed_over.clear()
            begun = self._job.chunks(self.source, self._options, self.passed_over)
        return begun
