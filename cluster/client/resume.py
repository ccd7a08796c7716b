"""Go on with a run whose submitter is gone."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from cluster import errors, redis_outage
from cluster.client import machine, saving, session
from cluster.client import source as sources

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.client import Client
    from cluster.client.run import Run, Status
    from cluster.client.source import Given
    from cluster.job import Job

LEAVES_S = 3600.0
"""Seconds after which who reads an upload leaves a Redis that does not answer."""


def require_possible(status: Status, *, has_input: bool) -> None:
    """See that a run can be gone on with.

    Raises:
        errors.RunOver: It was given up.
        errors.UsageError: Its input is needed.
    """
    if status.state in ("cancelled", "failed"):
        raise errors.RunOver(f"the run {status.run} is {status.state}: see `cluster result {status.run}`")
    if not has_input and status.chunks_total is None:
        total = "?" if status.items_total is None else status.items_total
        raise errors.UsageError(
            f"the input of {status.run} was not read to its end ({status.items_done} of {total} done): name it, as it"
            " was submitted"
        )


def job_of(client: Client, status: Status) -> Job:
    """The job of a run that is to be gone on with.

    Raises:
        errors.JobUnavailable: It has another version here, or this machine cannot make the model that the run trains.
        errors.UnknownJob: There is none here.
    """
    job = client.find(status.job, status.version)
    if status.state == "running":
        machine.require_model_can_be_made(job)
    return job


def leave_lost_redis(client: Client) -> None:
    """End this process, as by SIGTERM, once Redis has not answered for an hour.

    For who reads an upload: nobody watches it, and when Redis is back the page has another process read on.
    """
    news = redis_outage.outage(client.config.require_broker())

    def look() -> None:
        if news.away_s > LEAVES_S:
            os.kill(os.getpid(), signal.SIGTERM)

    news.on_wait = look


def take_up(
    client: Client, status: Status, source: Given | None, *, background: bool, save: Path | None = None
) -> Run:  # fmt: skip
    """Resume a run; without ``background`` it goes on in the first thread that waits for it. See ``Client.resume``."""
    job = job_of(client, status)
    save = saving.require(job, save)
    given = None
    if source is not None and status.state == "running":
        given = session.Input(job, sources.read(source), status.options)
    return _begin(client, job, status, given, background=background, save=save)


def of_input(client: Client, status: Status, given: session.Input) -> Run:
    """Resume a run with its input, in the first thread that waits for it; of one that is done, nothing is read."""
    job = job_of(client, status)
    return _begin(client, job, status, given if status.state == "running" else None, background=False)


def _begin(
    client: Client, job: Job, status: Status, given: session.Input | None, *, background: bool, save: Path | None = None
) -> Run:  # fmt: skip
    if status.state == "running":
        client.serve_run(job, status.options)
    return client.ours(status.run, job, status.requirement).begin(given, background=background, save=save)
