"""The Celery app: its whole configuration, and a pair of tasks for each job of the catalog.

Job ``ocr`` has the tasks ``cluster.ocr`` (one chunk) and ``cluster.ocr.fold`` (join parts) on the
queue ``cluster.ocr``, which the nodes that can do the job consume.
"""

from __future__ import annotations

from celery import Celery

from cluster import placement, settings
from cluster.settings import Settings

NO_BROKER = "redis://cluster-broker-url-is-not-set.invalid:6379/0"
"""So that `celery -A cluster worker` without a broker names what is missing."""


def build(config: Settings | None = None, *, patient: bool = True) -> Celery:
    """An app for the broker of ``config``, by default that of this process's settings.

    Args:
        config: Names the broker and the limits.
        patient: Wait some two minutes for a Redis that is away when publishing; else a second.

    Raises:
        errors.UsageError: Another package is in the place of one of ours, or a setting is wrong.
    """
    placement.check()
    from cluster import catalog, nodes
    from cluster.runs import celery_tasks

    config = config or settings.current()
    url = config.broker_url.get_secret_value() if config.broker_url else NO_BROKER
    app = Celery("cluster", broker=url, backend=f"cluster.chord_backend.ChordBackend+{url}")
    app.conf.update(
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
        task_time_limit=config.chunk_time_limit_s + config.chunk_time_grace_s,
        task_soft_time_limit=config.chunk_time_limit_s,
        task_routes=celery_tasks.routes(catalog.jobs()),
        task_create_missing_queues=True,
        # A Redis that goes away is waited for.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_publish_retry_policy={
            "max_retries": 60 if patient else 3,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 2,
        },
        broker_transport_options={
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "health_check_interval": 15,
            "socket_keepalive": True,
        },
        redis_socket_timeout=30,
        redis_socket_connect_timeout=5,
        result_backend_always_retry=True,
        result_backend_max_retries=10_000,
        result_backend_max_sleep_between_retries_ms=2000,
        worker_hijack_root_logger=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_proc_alive_timeout=30,
    )
    for job in catalog.jobs().values():
        celery_tasks.add(app, job, config)
    nodes.prepare(app, config)
    return app
