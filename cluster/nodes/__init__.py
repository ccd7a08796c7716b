"""What a machine brings: its capacity, the jobs it can do, and how its worker is set up."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from cluster import catalog, errors, logs, redis_client
from cluster.nodes import capacity, identity, registry

if TYPE_CHECKING:
    from celery import Celery

    from cluster.settings import Settings

NICE = 10
BEAT_TIMEOUT_S = 1.0
log = logging.getLogger(__name__)


def prepare(app: Celery, config: Settings) -> None:
    """Have every worker of ``app`` name and size itself, take the jobs it can do, and tell of itself.

    What is given by flags (``-n``, ``-c``, ``-Q``) wins.
    """
    from celery import signals
    from celery.utils.nodenames import default_nodename

    app.user_options["worker"].add(logs.format_option())

    @signals.celeryd_init.connect(weak=False)
    def set_up(instance: Any = None, conf: Any = None, options: Any = None, **_: Any) -> None:
        from cluster.nodes.beat import Beat

        try:
            redis_client.check(config.require_broker())
            if instance.hostname == default_nodename(None):  # no -n was given
                instance.hostname = identity.take(config.cache_folder / "nodes")
            logs.set_up_worker(instance, options, config)
            conf.worker_concurrency = config.slots or capacity.slots(config)
            _choose_queues(conf)
            # It beats from the worker's event loop, which must not wait.
            url = config.require_broker()
            Beat.registry = registry.Registry(redis_client.connect(url, patient=False, timeout_s=BEAT_TIMEOUT_S))
            app.steps["consumer"].add(Beat)
        except errors.ClusterError as error:
            raise SystemExit(f"cluster: {error}") from None
        except Exception as error:
            # Celery would log it and start a worker that takes no work.
            log.exception("the worker cannot be set up", extra={"event": "node-failed"})
            raise SystemExit(f"cluster: the worker cannot be set up: {error}") from error

    @signals.worker_init.connect(weak=False)
    def be_nice(**_: Any) -> None:
        if hasattr(os, "nice"):
            os.nice(NICE)


def abilities() -> dict[str, str]:
    """Job -> why this machine cannot do it, "" where it can."""
    return {name: job.why_unavailable() for name, job in catalog.jobs().items()}


def how_to_add(job: str) -> str:
    """What to type so that this machine can do ``job``, or "" where we cannot know."""
    wanted = catalog.get(job).install
    return f'{sys.executable} -m pip install "{wanted}"' if wanted else ""


def left_out(job: str, problem: str) -> str:
    """The sentence about a job that this machine cannot do."""
    hint = how_to_add(job)
    return f"this node leaves out the job {job}: {problem}{f'; to add it: {hint}' if hint else ''}"


def _choose_queues(conf: Any) -> None:
    from kombu.entity import Queue

    from cluster.runs.celery_tasks import queue

    able = abilities()
    for job, problem in able.items():
        if problem:
            log.warning(left_out(job, problem), extra={"event": "job-left-out"})
    conf.task_queues = [Queue(queue(job), routing_key=queue(job)) for job, why in able.items() if not why]
