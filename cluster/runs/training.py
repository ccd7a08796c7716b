"""A run that trains a model: its result becomes the next version of a bundle, whoever is there when it ends."""

from __future__ import annotations

import logging
from typing import Any

from cluster import errors, logs
from cluster.job import Job
from cluster.runs import Stores, parts
from cluster.runs.status import Status
from cluster.settings import Settings

log = logging.getLogger(__name__)


def publish(job: Job, status: Status, stores: Stores, config: Settings) -> dict[str, Any]:
    """Push what a finished run gave; gives its report, with the ``model`` it is now.

    Done twice, also at once, it changes nothing: the same content is no new version.

    Raises:
        errors.RunFailed: The result makes no model; the message says why.
        errors.JobUnavailable: This machine cannot make it of the parts.
        errors.BundleError: The version the run began with is gone.
    """
    known = stores.ledger.report(status.run)
    if known is not None:
        return known
    options = stores.models.options(job, status.options)
    if problem := job.why_unavailable(options):
        raise errors.JobUnavailable(f"this machine cannot make the model of the run {status.run}: {problem}")
    try:
        made = job.result(parts.of_run(status.run, stores, config.max_part_bytes), options)
    except ValueError as error:
        why = "".join(f"; {logs.plain(failure.item)}: {logs.plain(failure.reason)}" for failure in status.failures[:3])
        raise errors.RunFailed(f"the run {status.run} gives no model: {error}{why}") from None
    pushed = stores.models.publish(job, status.options["model"], made, by=status.submitter)
    report = {"model": pushed.manifest.ref, "new": pushed.new, **made.report}
    stores.ledger.enter_report(status.run, report)
    log.info("run %s made %s", status.run, pushed.manifest.ref, extra={"event": "model", "run": status.run})
    return report
