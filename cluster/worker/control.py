"""Remote control of a node: Celery's, within what the owner of the machine has set.

Anyone with the cluster's password can ask a node for what stands here, and for nothing else. Answers with "error" are
what `celery control` and Flower's buttons show.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from celery.app import control
from kombu import pidbox
from kombu.entity import Queue

from cluster import errors, logs

MOST_SHOWN_CHARS = 200
ALLOWED = (
    "active", "active_queues", "clock", "conf", "disable_events", "dump_active", "dump_conf", "dump_reserved",
    "dump_revoked", "dump_schedule", "dump_tasks", "enable_events", "heartbeat", "ping", "query_task", "registered",
    "report", "reserved", "revoked", "scheduled", "shutdown",
)  # fmt: skip
"""Celery's own commands that a node does as they are."""
OF_THE_BROKER = ("transport", "hostname", "port", "virtual_host", "userid")
OF_THE_RUN = "a chunk belongs to its run: to end that, type `cluster cancel RUN`"
OF_THE_OWNER = "the owner of the machine sets how many slots it has (CLUSTER_SLOTS) and when it fills them"
REFUSED = {
    "autoscale": OF_THE_OWNER,
    "rate_limit": OF_THE_OWNER,
    "time_limit": "a run has the time limit that CLUSTER_CHUNK_TIME_LIMIT_S says where it is submitted",
    "pool_restart": "a node is stopped by `cluster shutdown --node NAME`, and started where it runs",
    "revoke": OF_THE_RUN,
    "revoke_by_stamped_headers": OF_THE_RUN,
    "terminate": OF_THE_RUN,
}
"""Celery's commands that people may miss -> why a node does not do them."""
log = logging.getLogger(__name__)
Answer = dict[str, Any]


class Node(pidbox.Node):
    """Hears commands, in a worker's main process."""

    state: Any
    handlers: dict[str, Callable[..., Any]]

    def handle(self, method: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Do what is asked, or say why not. Nothing that is asked ends the worker, but ``shutdown``."""
        given = dict(arguments or {})
        try:
            if method in OURS:
                return OURS[method](self.state.consumer, **given)
            handler = self.handlers.get(method)
            # Commands of other packages are allowed; those that later versions of Celery add must be reviewed first.
            if handler and (method in ALLOWED or not handler.__module__.startswith("celery.")):
                return handler(self.state, **({} if method == "shutdown" else given))
            reason = REFUSED.get(method, "a node of this cluster does not do that")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the fault of what was asked
            reason = str(error) or type(error).__name__
        log.warning(
            "remote control: %s is refused: %s", method, logs.plain(reason[:MOST_SHOWN_CHARS]),
            extra={"event": "control-refused"},
        )  # fmt: skip
        return {"error": reason}


class Mailbox(pidbox.Mailbox):
    """Makes such nodes."""

    node_cls = Node


class Control(control.Control):  # type: ignore[misc]
    """The other side: how programs ask nodes."""

    Mailbox = Mailbox

    def revoke(self, *_: Any, **__: Any) -> None:
        """Say at once that nodes do not do that: Celery, and Flower's button, wait for no answer.

        Raises:
            errors.UsageError: Always; in Flower an error that it shows.
        """
        web = sys.modules.get("tornado.web")
        raise web.HTTPError(403, OF_THE_RUN) if web else errors.UsageError(OF_THE_RUN)


def pool_grow(consumer: Any, n: int = 1) -> Answer:
    """Start processes again that ``pool_shrink`` has ended."""
    admission = consumer.cluster_admission
    room = admission.most - admission.slots
    if room < 1:
        raise ValueError(f"the node has its {admission.most} slots; {OF_THE_OWNER}")
    number = min(_positive(n), room)
    consumer.pool.grow(number)
    consumer._update_prefetch_count(number)
    admission.slots += number
    return {"ok": f"pool will grow by {number}, to {admission.slots} of {admission.most} slots"}


def pool_shrink(consumer: Any, n: int = 1) -> Answer:
    """End processes that have nothing to do, but for one, until ``pool_grow`` or the node's next start."""
    admission = consumer.cluster_admission
    number = min(_positive(n), consumer.pool.num_processes - 1)
    if number < 1:
        raise ValueError("the node keeps one slot; to stop it, type `cluster shutdown --node NAME`")
    before = consumer.pool.num_processes
    try:
        consumer.pool.shrink(number)
    except ValueError:  # some are busy, the others have ended
        number = before - consumer.pool.num_processes
        if not number:
            raise
    consumer._update_prefetch_count(-number)
    admission.slots -= number
    return {"ok": f"pool will shrink by {number}, to {admission.slots} of {admission.most} slots"}


def add_consumer(consumer: Any, queue: str, **more: Any) -> Answer:
    """Consume again what ``cancel_consumer`` has ended."""
    if any(value not in (None, "", queue, "direct") for value in more.values()):
        raise ValueError("a capability's queue has no exchange and no options")
    if queue not in consumer.cluster_heartbeat.may_consume():
        raise ValueError(f"{queue} is the queue of no capability that the node serves: see `cluster nodes`")
    consumer.call_soon(_add, consumer, queue)
    return {"ok": f"add consumer {queue}"}


def _add(consumer: Any, queue: str) -> None:
    queues = consumer.app.amqp.queues
    found = queues.select_add(queues[queue] if queue in queues else Queue(queue, routing_key=queue))
    if not consumer.task_consumer.consuming_from(queue):
        consumer.task_consumer.add_queue(found)
        consumer.task_consumer.consume()


def cancel_consumer(consumer: Any, queue: str) -> Answer:
    """Take nothing of a capability any more, until ``add_consumer`` or the node's next start."""
    if queue not in consumer.app.amqp.queues.consume_from:
        raise ValueError(f"the node does not consume {queue}")
    consumer.call_soon(consumer.cancel_task_queue, queue)
    return {"ok": f"no longer consuming from {queue}"}


def stats(consumer: Any) -> Answer:
    """Return Celery's figures; of the broker only ``OF_THE_BROKER``: its options may hold passwords and keys."""
    found: Answer = consumer.controller.stats()
    if isinstance(found["broker"], dict):  # else it is not connected
        found["broker"] = {name: found["broker"].get(name) for name in OF_THE_BROKER}
    return found


def _positive(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{str(number)[:20]!r} is no number of slots")
    return number


OURS: dict[str, Callable[..., Answer]] = {
    "add_consumer": add_consumer,
    "cancel_consumer": cancel_consumer,
    "pool_grow": pool_grow,
    "pool_shrink": pool_shrink,
    "stats": stats,
}
"""Remote control commands that a node handles differently from Celery's workers."""
