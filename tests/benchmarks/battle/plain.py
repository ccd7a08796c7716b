"""The same work on Celery alone, as its documentation advises: late acknowledgement, and a chord that sums up.

``CLUSTER_BROKER_URL`` names the broker, ``VISIBILITY_TIMEOUT_S`` (optional) after how long Celery gives the work of a
silent worker to others.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import cluster_testwork
from celery import Celery, chord

VISIBILITY_TIMEOUT_S = "CLUSTER_TEST_VISIBILITY_TIMEOUT_S"


def build(url: str, visibility_timeout_s: str) -> Celery:
    """The app; without a timeout, all that concerns it is Celery's default."""
    built = Celery("battle", broker=url, backend=url)
    built.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
    )
    if visibility_timeout_s:
        built.conf.broker_transport_options = {
            "visibility_timeout": int(visibility_timeout_s),
            # Look every second for what is overdue; by default it is every 100 s.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        }
    built.task(work, name="battle.work", shared=False)
    built.task(total, name="battle.total", shared=False)
    return built


def work(effects: str, run: str, chunk: str, seconds: float) -> dict[str, int]:
    """One chunk: sleep, and count it once."""
    cluster_testwork.do(effects, run, chunk, seconds)
    return {chunk: 1}


def total(parts: list[dict[str, int]]) -> dict[str, int]:
    """The body of the chord."""
    counted: Counter[str] = Counter()
    for part in parts:
        counted.update(part)
    return dict(counted)


def submit(built: Celery, effects: str, run: str, chunks: dict[str, float]) -> Any:
    """Publish a run; gives the ``AsyncResult`` of its sum."""
    task, body = built.tasks["battle.work"], built.tasks["battle.total"]
    header = [task.s(effects, run, chunk, seconds) for chunk, seconds in chunks.items()]
    return built.AsyncResult(chord(header, app=built)(body.s()).id)


if url := os.environ.get("CLUSTER_BROKER_URL"):
    app = build(url, os.environ.get(VISIBILITY_TIMEOUT_S, ""))
