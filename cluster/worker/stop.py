"""A step of Celery's worker that has the pool's processes wait no more for Redis once the worker stops."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import Any

import psutil
from celery import bootsteps
from celery.concurrency.prefork import TaskPool

from cluster import redis_outage

SIGNAL = signal.SIGUSR2
AGAIN_S = 0.5


class Stop(bootsteps.StartStopStep):  # type: ignore[misc]
    """Tells the pool's processes that the worker stops.

    One that works goes on to the end of its work. One that waits for a Redis that is away gives its message up: the
    note of it in Redis goes to others, as that of a lost node.
    """

    requires = ("celery.worker.components:Pool",)

    def close(self, worker: Any) -> None:
        """The worker stops. It waits for its pool next."""
        if isinstance(worker.pool, TaskPool):  # others have no processes
            threading.Thread(target=_tell, args=(worker.pool.info["processes"],), name="stop", daemon=True).start()


def heed() -> None:
    """In a process of the pool: heed what ``Stop`` tells."""
    signal.signal(SIGNAL, redis_outage.give_up)


def ignore() -> None:
    """Ignore the signal in the worker's main process; its children inherit this until they ``heed``."""
    signal.signal(SIGNAL, signal.SIG_IGN)


def _tell(pids: list[int]) -> None:
    """Tell them until they have ended: what works now may come to wait later."""
    members = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            members.append(psutil.Process(pid))
    while members:
        for member in tuple(members):
            try:
                member.send_signal(SIGNAL)
            except psutil.Error:
                members.remove(member)
        time.sleep(AGAIN_S)
