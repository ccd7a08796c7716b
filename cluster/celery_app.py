"""The Celery app: its whole configuration.

Its two tasks, ``cluster.map`` and ``cluster.aggregate``, are those of all jobs; only workers have them
(``worker.tasks``). The messages of a run are in the queue of its requirement (``keys.queue``), which the nodes consume
that serve it.
"""

from __future__ import annotations

from typing import Any

import click
from celery import Celery
from click.core import ParameterSource
from kombu.entity import Exchange
from kombu.transport import TRANSPORT_ALIASES

from cluster import errors, placement, redis_client, redis_outage, redis_url, settings
from cluster.settings import Settings

NO_BROKER = "redis://cluster-broker-url-is-not-set.invalid:6379/0"
"""A URL whose host names the missing setting in the error of `celery -A cluster worker` without a broker."""

CONTROL = "cluster.worker.control:Control"
INSTEAD = {
    "broker": "set CLUSTER_BROKER_URL (every user of this machine can read a command line)",
    "result_backend": "results are in the Redis of CLUSTER_BROKER_URL",
    "loader": "settings are those of cluster (README)",
    "config": "settings are those of cluster; CLUSTER_CONFIG names their file",
}
"""Options of `celery` itself -> what to do in their place."""
TRANSPORTS = {
    "redis": "cluster.messaging.transport:Transport",
    "rediss": "cluster.messaging.transport:Transport",
    "sentinel": "cluster.messaging.transport:SentinelTransport",
}


class App(Celery):  # type: ignore[misc]
    """Connects to the broker of our settings. Variables of Celery's, as CELERY_BROKER_URL, are for other apps."""

    cluster_broker: str
    """The broker's URL for ``redis_url``."""
    connects_to: str
    """The broker's URL for kombu."""

    def _get_backend(self) -> Any:
        from cluster.messaging.chord_backend import ChordBackend

        return ChordBackend(app=self, url=self.cluster_broker)

    def connection(self, hostname: str | None = None, **options: Any) -> Any:
        """See ``Celery.connection``."""
        return super().connection(hostname or self.connects_to, **options)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """See ``Celery.connection_for_read``."""
        return super().connection_for_read(url or self.connects_to, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """See ``Celery.connection_for_write``."""
        return super().connection_for_write(url or self.connects_to, **options)


def refuse_options() -> None:
    """See that `celery` was given no option that our app would not follow.

    Raises:
        errors.UsageError: It was; the message says what to do instead.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.command.name != "celery":
        return
    for name, instead in INSTEAD.items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = "-b/--broker" if name == "broker" else f"--{name.replace('_', '-')}"
            raise errors.UsageError(f"`celery {flag}` is not used for this app; {instead}")


def build(config: Settings | None = None, *, patient: bool = True) -> Celery:
    """An app for the broker of ``config``, by default that of this process's settings.

    Args:
        config: Names the broker and the limits.
        patient: Wait for a Redis that is away or full when publishing; else for a second.

    Raises:
        errors.UsageError: Another package is in the place of one of ours, or a setting is wrong.
    """
    placement.check()
    from cluster.worker import setup

    config = config or settings.current()
    url = config.require_broker() if config.broker_url else NO_BROKER
    try:
        broker = redis_url.for_kombu(url)
    except ValueError as error:
        raise errors.BadSetting(f"the broker URL {redis_url.masked(url)} cannot be used: {error}") from None
    TRANSPORT_ALIASES.update(TRANSPORTS)
    # The backend without its URL: Celery shows what is in its settings (`report`, `graph`, `inspect conf`).
    app = App(
        "cluster",
        loader="app",
        broker=broker.url,
        backend="cluster.messaging.chord_backend.ChordBackend",
        control=CONTROL,
    )
    app.cluster_broker, app.connects_to = url, broker.url
    app.conf.update(
        broker_use_ssl=broker.ssl,
        # What comes from other machines is JSON, never code.
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        # A message is acknowledged when its chunk is settled; repeats do no harm (see the ledger).
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # A chord's headers tell only that they ended; parts go by the ledger.
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        result_expires=3600,
        worker_send_task_events=config.task_events,
        worker_enable_remote_control=True,
        task_time_limit=config.chunk_s,
        task_soft_time_limit=config.chunk_time_limit_s,
        task_create_missing_queues=True,
        # A Redis that goes away is waited for.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_publish_retry_policy=_publish_policy(url, patient=patient),
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": redis_client.CONNECT_TIMEOUT_S,
            "health_check_interval": redis_client.HEALTH_CHECK_S,
            "socket_keepalive": True,
            "check_messages": True,
            **broker.options,
        },
        result_backend_transport_options={"patient": patient},
        worker_consumer="cluster.worker.consumer:Consumer",
        worker_hijack_root_logger=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_proc_alive_timeout=30,
    )
    # Else each queue that is published to would leave an exchange in Redis for ever.
    app.amqp.autoexchange = lambda name: Exchange("")  # type: ignore[no-untyped-call]
    setup.prepare(app, config)
    return app


def _publish_policy(url: str, *, patient: bool) -> dict[str, Any]:
    """How kombu publishes again what Redis did not take."""
    policy = {"max_retries": None if patient else 3, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 2}
    return {**policy, "errback": redis_outage.outage(url).tell_kombu} if patient else policy
