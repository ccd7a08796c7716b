"""Publish the model of a finished run as the next version of a bundle, from any process that sees the run's end."""

from __future__ import annotations

import logging
import time
from typing import Any

from cluster import errors, logs
from cluster.coordinator import standing
from cluster.job import Job
from cluster.ledger import parts
from cluster.ledger.row import Publishes
from cluster.ledger.status import Status
from cluster.names import ModelRef
from cluster.settings import Settings
from cluster.stores import Stores

WAIT_S = 0.5
log = logging.getLogger(__name__)


def publish(
    job: Job, status: Status, stores: Stores, config: Settings, owner: str, *, wait: bool = True,
    publishes: Publishes | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Push what a finished run gave; gives its report, with the ``model`` it is now.

    A run that publishes only the first version of a new name is refused once others have made one, whoever asks:
    its submitter's process, a master, the page. Of two such runs the first one to end has the name.

    One process does it at a time; the others ``wait`` for the report, for up to ten minutes if that process has died.
    A second call changes nothing: the same content is no new version, and does not become the current one again.

    Args:
        job: The run's.
        status: The run's, once it is done.
        stores: Of its cluster.
        config: Limits of the parts that are read here.
        owner: Who makes the model, as others are told.
        wait: See above.
        publishes: What somebody who is known to may, instead of what the run itself may.

    Raises:
        errors.RunFailed: The result makes no model, or not the first one of its name; the message says why.
        errors.RunNotFinished: Another one makes it, and we do not ``wait``.
        errors.JobUnavailable: This machine cannot make it of the parts.
        errors.UnknownBundle, errors.BlobError: The version the run began with is gone.
    """
    while (known := stores.ledger.reports.of(status.run)) is None:
        if not stores.ledger.reports.begin(status.run, owner):
            if not wait:
                raise errors.RunNotFinished(f"another one makes the model of the run {status.run}")
            time.sleep(WAIT_S)
            continue
        try:
            if known := stores.ledger.reports.of(status.run):  # another one was done just before we began
                return known
            report = _publish(job, status, stores, config, publishes or status.publishes)
            stores.ledger.reports.enter(status.run, report)
            return report
        finally:
            stores.ledger.reports.give_up(status.run)
    return known


def _base(job: Job, status: Status, stores: Stores) -> str:
    """The version to go on from: the one the run began with, or to add to the one that is current now."""
    began: str = status.options["model"]
    if not (status.options.get("add") or status.options.get("more")):
        return began
    return str(stores.models.pin(job, {"model": ModelRef.parse(began).name})["model"])


def _make(job: Job, status: Status, stores: Stores, config: Settings, before: str) -> Any:
    options = stores.models.options(job, {**status.options, "model": before})
    if problem := job.why_not_here(options):
        raise errors.JobUnavailable(f"this machine cannot make the model of the run {status.run}: {problem}")
    try:
        if job.rounds:
            return standing.result(status.run, job, stores, options)
        return job.result(parts.of_run(status.run, job, stores), options)
    except OSError as error:  # the bundle was dropped while it was read
        raise errors.BlobMissing(str(error)) from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        why = "".join(f"; {logs.plain(failure.item)}: {logs.plain(failure.reason)}" for failure in status.failures[:3])
        raise errors.RunFailed(f"the run {status.run} gives no model: {error}{why}") from None


def _publish(
    job: Job, status: Status, stores: Stores, config: Settings, publishes: Publishes
) -> dict[str, Any]:  # fmt: skip
    while True:
        before = _base(job, status, stores)
        made = _make(job, status, stores, config, before)
        if before == _base(job, status, stores):  # while it was made, another one may have added to the same
            break
    try:
        pushed = stores.models.publish(job, before, made, by=status.submitter, first=publishes == "first")
    except errors.NameTaken as error:
        raise errors.RunFailed(
            f"the run {status.run} publishes no model: {error}. An operator makes it the next version, on the page of"
            " its results"
        ) from None
    based_on = ModelRef.parse(before)
    log.info("run %s made %s", status.run, pushed.manifest.ref, extra={"event": "model", "run": status.run})
    return {
        "model": pushed.manifest.ref,
        "new": pushed.new,
        "current": str(ModelRef(pushed.manifest.name, pushed.current)),
        "based_on": None if based_on.version is None else str(based_on.without_digest),
        **made.report,
        **(_of_rounds(status) if job.rounds else {}),
    }


def _of_rounds(status: Status) -> dict[str, Any]:
    """What the ledger alone knows of a run in rounds."""
    told: dict[str, Any] = {"seconds": status.seconds, "nodes": dict(status.nodes)}
    if (rounds := status.rounds) is not None:
        told |= {"late": rounds.late, "lost": rounds.lost, "rejected": rounds.rejected}
    return told
