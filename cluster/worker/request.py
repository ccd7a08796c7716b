"""A worker's view of one message; it learns when the process that works on the message is ended from outside.

Apart from ``worker.tasks``, because only workers need Celery's worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from billiard.pool import EX_RECYCLE
from celery.worker import state as worker_state
from celery.worker.request import Request

from cluster.ledger.records import Worker
from cluster.worker import admission, identity

log = logging.getLogger(__name__)


def _or_put_back(callback: Callable[..., Any]) -> Callable[..., Any]:
    """A callback of the pool, which Celery loses together with its message if it raises."""

    @wraps(callback)
    def guarded(self: GuardedRequest, *arguments: Any, **named: Any) -> Any:
        try:
            return callback(self, *arguments, **named)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost a slot
            self.put_back(error)

    return guarded


class GuardedRequest(Request):  # type: ignore[misc]
    """For tasks with a method ``cut_short(message, how, why, worker)``; called in the worker's main process."""

    def put_back(self, error: Exception) -> None:
        """The end of its process could not be dealt with: free the slot, and let the message come again."""
        log.error("the message %s goes back to its queue: %r", self.id, error, extra={"event": "handed-back"})
        worker_state.task_ready(self)
        self.reject(requeue=True)  # nothing happens if it was acknowledged

    @_or_put_back
    def on_timeout(self, soft: bool, timeout: float) -> None:
        """A time limit has passed."""
        super().on_timeout(soft, timeout)

    @_or_put_back
    def on_failure(self, exc_info: Any, *arguments: Any, **named: Any) -> Any:
        """The task raised, or its process is gone."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if f"exitcode {EX_RECYCLE}" in str(error):
            pass  # it ended by itself, for one that can do the chunk
        elif isinstance(error, WorkerLostError | SystemExit):
            how, why = "killed", str(error)
            if admission.handed_back(self.worker_pid):
                how, why = "lost", "memory ran out on the node, which handed it back"
            # Entered before the message goes back to the queue: the worker that takes it then knows.
            self.task.cut_short(self.args[0], how, why, Worker(self.hostname, identity.incarnation()))
        return super().on_failure(exc_info, *arguments, **named)
