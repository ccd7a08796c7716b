"""Set up a machine's worker: its capacity, its jobs, and its options."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

import tasks as work
from cluster import catalog, errors, keys, logs, names, redis_check, redis_client, redis_outage, settings
from cluster.blobs.measured import HUB
from cluster.messaging import held
from cluster.nodes import registry
from cluster.worker import capacity, identity

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from celery import Celery

    from cluster.settings import Settings
    from cluster.stores import Stores
    from cluster.worker.provisioner import Provisioner

NICE = 10
OOM_SCORE = "500"
HEARTBEAT_TIMEOUT_S = 1.0
FILES_A_SLOT = 10
"""Files that a worker's main process may need open for each; measured are 6."""
log = logging.getLogger(__name__)


def prepare(app: Celery, config: Settings) -> None:
    """Have every worker of ``app`` name and size itself, take the jobs it can do, and tell of itself.

    What is given by flags (``-n``, ``-c``, ``-Q``) wins.
    """
    from celery import signals

    app.user_options["worker"].add(logs.format_option())
    app.cluster_settings = config
    # Connected again, by another app of this process, these change nothing.
    signals.celeryd_init.connect(_set_up)
    signals.worker_init.connect(_be_nice)
    signals.worker_process_init.connect(_leave_the_news_to_the_main_process)
    signals.worker_process_init.connect(_go_first)
    signals.worker_process_init.connect(_heed_stop)


def _set_up(instance: Any = None, conf: Any = None, options: Any = None, **_: Any) -> None:
    config: Settings | None = getattr(instance.app, "cluster_settings", None)
    if config is None:  # a worker of another app
        return
    from celery.utils.nodenames import default_nodename
    from celery.worker.state import maybe_shutdown

    from cluster.stores import Stores
    from cluster.worker import tasks
    from cluster.worker.admission import Admission
    from cluster.worker.consumer import Consumer
    from cluster.worker.heartbeat import Heartbeat
    from cluster.worker.replicas import Keeper
    from cluster.worker.stop import Stop

    try:
        given = options.get("queues") or []
        given[:] = map(_queue, given)  # in place: Celery reads the same list afterwards
        url = config.require_broker()
        redis_client.check(url)
        # Heartbeats go out from the worker's event loop, which must not wait.
        Heartbeat.client = redis_client.connect(
            url, patient=False, timeout_s=HEARTBEAT_TIMEOUT_S, name=names.connection(identity.incarnation())
        )
        wanted = ""
        if instance.hostname == default_nodename(None):  # no -n was given
            wanted = identity.take(config.cache_folder / "nodes")
            instance.hostname = _own_name(wanted, Heartbeat.client)
        work.here = instance.hostname  # the pool's processes are forked
        logs.set_up_worker(instance, options, config)
        logs.warn_of_variables(settings.unknown_variables())
        if wanted and wanted != instance.hostname:
            log.warning(
                "another machine of this cluster is called like this one, which is %s here",
                instance.hostname, extra={"event": "node-renamed"},
            )  # fmt: skip
        conf.worker_concurrency = config.slots or capacity.slots(config)
        slots = options.get("concurrency") or conf.worker_concurrency
        redis_check.see_files(redis_check.FILES + FILES_A_SLOT * slots, f"a worker of {slots} slots")
        _try_edge(config)
        Heartbeat.config = config
        Heartbeat.provisioner = _provisioner(conf, config, given)
        Heartbeat.keeper = Keeper(Stores.connect(config, patient=False), config, Heartbeat.provisioner)
        Admission.replicas = Heartbeat.keeper.count
        Admission.served = Heartbeat.keeper.capabilities
        Admission.expected = Heartbeat.provisioner.expected
        conf.broker_transport_options = held.options(conf, identity.incarnation())
        Heartbeat.news = Consumer.news = redis_outage.outage(url)
        Heartbeat.news.on_wait = maybe_shutdown
        Admission.config = config
        tasks.register(instance.app, config)
        instance.app.events.dispatcher_cls = "cluster.worker.consumer:Dispatcher"
        instance.app.steps["consumer"].update((Admission, Heartbeat))
        instance.app.steps["worker"].add(Stop)
    except errors.ClusterError as error:
        raise logs.told(error) from None
    except OSError as error:
        where = f": {logs.plain(str(error.filename))}" if error.filename else ""
        raise SystemExit(
            f"cluster: the worker cannot be set up: {logs.of_error(error.strerror or error)}{where}"
        ) from None
    except Exception as error:
        # Celery would log it and start a worker that takes no work.
        log.exception("the worker cannot be set up", extra={"event": "node-failed"})
        raise SystemExit(f"cluster: the worker cannot be set up: {logs.of_error(error)}") from error


def _try_edge(config: Settings) -> None:
    """Say so where the site's store does not answer: the node works all the same, through the hub."""
    if config.edge_url is None:
        return
    try:
        redis_client.check(config.edge_url.get_secret_value())
    except errors.BrokerError as error:
        log.warning(
            "the edge store (CLUSTER_EDGE_URL) cannot be used for now, parts go to the hub: %s",
            error, extra={"event": "edge-away"},
        )  # fmt: skip


def _leave_the_news_to_the_main_process(**_: Any) -> None:
    logging.getLogger(redis_outage.__name__).setLevel(logging.ERROR)


def _be_nice(**_: Any) -> None:
    from cluster.worker import stop

    if hasattr(os, "nice"):
        os.nice(NICE)
    stop.ignore()


def _heed_stop(**_: Any) -> None:
    from cluster.worker import stop

    stop.heed()


def _go_first(**_: Any) -> None:
    # Where memory ends before we look again, the kernel shall end a chunk and no program of the owner's.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def _own_name(wanted: str, client: redis.Redis) -> str:
    """The name, or another one where another machine of this cluster is called as this one."""
    try:
        client.ping()  # others see by its connection that it is here
        return registry.Registry(client).take_name(wanted, identity.incarnation())
    except (redis.RedisError, ValueError):  # a name, or what others wrote, is no reason not to start
        return wanted


def _provisioner(conf: Any, config: Settings, given: Sequence[str]) -> Provisioner:
    """Consume the queues of the jobs that this machine can do, if no others were ``given``."""
    from kombu.entity import Queue

    from cluster.nodes import places
    from cluster.stores import Stores
    from cluster.worker.provisioner import Provisioner

    stores = Stores.connect(config, patient=False, meter=HUB)
    if why := _disagreement(stores, config):
        log.error("this node takes no work: %s", why, extra={"event": "node-unfit"})
        conf.task_queues = [Queue(places.NOWHERE, routing_key=places.NOWHERE)]
        missing = {job.capability: why for job in catalog.jobs().values()}
        return Provisioner(stores, [], missing, [places.NOWHERE], unfit=why)
    unable = _unable()
    jobs = {keys.queue(job.capability): job for job in catalog.jobs().values()}
    conf.task_queues = [Queue(name, routing_key=name) for name, job in jobs.items() if job.capability not in unable]
    for name in given:
        if not catalog.capability_of(name):
            log.warning(_unknown(name, jobs), extra={"event": "queue-unknown"})
    if given:
        jobs = {name: job for name, job in jobs.items() if name in given}
    return Provisioner(stores, list(jobs.values()), unable, given, places.Places.of(config))


def _unable() -> dict[str, str]:
    """Capability -> why this machine cannot do its job, which is logged in one line for all."""
    abilities = catalog.abilities()
    if told := catalog.lacks(abilities):
        log.warning(told, extra={"event": "job-left-out"})
    return {catalog.get(name).capability: problem for name, problem in abilities.items() if problem}


def _disagreement(stores: Stores, config: Settings) -> str:
    """Why this node must take no work, as it would look for bytes or models elsewhere than the others; or ""."""
    from cluster.nodes import places

    try:
        return places.disagreement(stores, config)
    except redis.RedisError as error:  # full, say: there is a cluster all the same
        log.warning("where this cluster keeps its bytes cannot be compared: %s", error)
        return ""


def _queue(given: str) -> str:
    """The queue that is meant by ``-Q``: a job is typed, ``ocr``, whichever version of it is here; also a capability,
    ``ocr.2``, or the queue's own name.

    Raises:
        errors.UsageError: It is a queue of an older version of this program.
    """
    if before := names.queue_typed_before(given):
        raise errors.UsageError(f"-Q {given} names a queue of an older version of `cluster`; type -Q {before}")
    if job := catalog.jobs().get(given):
        return keys.queue(job.capability)
    return given if keys.capability_of(given) else keys.queue(given)


def _unknown(name: str, queues: Collection[str]) -> str:
    """The sentence about a queue that was given by ``-Q`` and is of no job; ``queues`` are those of the jobs."""
    given, capabilities = keys.capability_of(name), [keys.capability_of(queue) for queue in queues]
    near = difflib.get_close_matches(given, capabilities, 1)
    hint = f"did you mean -Q {near[0]}?" if near else f"the jobs here are {', '.join(capabilities)}"
    return f"no job is called {given} (-Q), so it brings this node no work; {hint}"
