"""A cluster to work with: the one the settings name, or a private one on this machine."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import redis
from pydantic import SecretStr

from cluster import errors, redis_client, runs
from cluster.job import Job, Source, paths
from cluster.runs import Stores
from cluster.runs.coordinate import Coordinator
from cluster.settings import Settings
from splitters import Chunk

if TYPE_CHECKING:
    from celery import Celery


NEWS_S = 2.0


@dataclass(frozen=True)
class Session:
    """What a submitter needs of a cluster; the web page and the command line use the same."""

    config: Settings
    stores: Stores
    app: Celery
    check: Callable[[float], None]
    """Raises ``errors.BrokerError`` when a private cluster has lost its Redis or its worker; waits so many
    seconds for it to be known."""

    def start(self, job: Job, options: Mapping[str, Any]) -> str:
        """Open a run; gives its id."""
        run = f"{job.name}-{secrets.token_hex(4)}"
        self.stores.ledger.create(run, job.name, options, f"{socket.gethostname()}:{os.getpid()}")
        return run

    def coordinate(
        self, job: Job, run: str, source: Source, chunks: Iterator[Chunk], on_wait: Callable[[], None]
    ) -> str:
        """Bring the run to its end; gives the state it ended in. ``on_wait`` is called while waiting."""

        def wait() -> None:
            self.check(0)
            on_wait()

        coordinator = Coordinator(self.app, job, run, self.stores, self.config, wait)
        coordinator.count_ahead(source)
        try:
            return coordinator.coordinate(chunks)
        except redis.RedisError:
            self.check(NEWS_S)  # where it is ours, we know better why it is away
            raise


@contextmanager
def opened(config: Settings, job: Job, options: Mapping[str, Any]) -> Iterator[Session]:
    """A session on the cluster of ``config.broker_url``; without one, on a private one for this ``job``.

    Raises:
        errors.BrokerError: The cluster does not answer, or none can be started.
        errors.JobUnavailable: It would be a private one, and this machine cannot do the job.
    """
    from cluster import celery_app

    if config.broker_url is not None:
        redis_client.check(config.require_broker())
        with closing(celery_app.build(config)) as app:
            yield Session(config, runs.connect(config), app, lambda wait_s: None)
        return
    from cluster.local import LocalCluster
    from cluster.runs.celery_tasks import queue

    demand(job, options)
    with LocalCluster() as local:
        # Who submits here waits for it, and uses the machine with just that; unless these were set on purpose.
        polite = not config.model_fields_set.isdisjoint({"slots_in_use", "memory_floor_bytes"})
        local.start_worker([queue(job.name)], task_events=False, polite=polite)
        private = config.model_copy(update={"broker_url": SecretStr(local.url)})
        # A private Redis that does not answer is dead; nobody will start it again.
        stores = runs.connect(private, patient=False)
        with closing(celery_app.build(private, patient=False)) as app:
            yield Session(private, stores, app, local.check)


def demand(job: Job, options: Mapping[str, Any]) -> None:
    """See that this machine can do the job with these options.

    Raises:
        errors.JobUnavailable: It cannot; the message says why, and what to type.
    """
    from cluster import nodes

    problem = job.why_unavailable(options)
    if problem:
        engine_problem = job.why_unavailable()
        to_add = nodes.how_to_add(job.name) if engine_problem else ""
        hint = f"; to add it: {to_add}" if to_add else ""
        raise errors.JobUnavailable(f"this machine cannot do the job {job.name}: {problem}{hint}")


def first_chunk_read(job: Job, source: Source, options: Mapping[str, Any]) -> Iterator[Chunk]:
    """The chunks of ``source``, the first of them read already, so that a wrong input is known now.

    Raises:
        errors.UsageError: The input is missing or empty.
    """
    chunks = job.chunks(source, options)
    first = next(chunks, None)
    if first is None:
        raise errors.NothingToDo(f"nothing for the job {job.name} in {', '.join(map(str, paths(source)))}")
    return chain([first], chunks)
