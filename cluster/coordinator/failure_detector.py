"""Find nodes that are lost, and give what they held back to the queues."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING

import kombu.exceptions
import redis

from cluster import errors
from cluster.ledger.records import Worker
from cluster.messaging import held, publish
from cluster.names import TaskId
from cluster.nodes.registry import SILENT_S, Incarnation
from cluster.stores import Stores
from cluster.wire import task_id

if TYPE_CHECKING:
    from celery import Celery

    from cluster.messaging.messages import About

LOOK_S = 0.25
ABSENT_LOOKS = 2
"""Looks in a row that show no connection of a node to Redis before it is lost; after one it may connect again."""
INTERRUPTED_S = 1.0
"""Seconds; after a look that took longer, or came later, earlier looks are forgotten and no node is judged by them."""
CALM_S = 2.0
"""Seconds after such a look in which nodes may still be connecting again, and have sent no new heartbeat."""
STEADY_S = 5.0
"""A detector that begins need not wait for nodes to connect to a Redis that has been up for this long."""
FORGET_S = 60.0
LEAVE_S = 2.0
log = logging.getLogger(__name__)


class FailureDetector:
    """Watches all nodes of a cluster from a thread of its own. Of many detectors, one at a time does the work.

    A node is lost when its connections are gone, or when it has not been heard of for ``SILENT_S``, both by this
    process's clock: those of the nodes do not matter. One that was only paused may come back; what it commits late
    is dropped by the ledger.
    """

    def __init__(self, app: Celery, stores: Stores) -> None:
        self._app = app
        self._ledger, self._registry = stores.ledger, stores.nodes
        self._me = secrets.token_hex(8)
        self._heard: dict[str, tuple[str, float]] = {}  # incarnation -> what it told last, and when we heard that
        self._absent: dict[str, int] = {}  # incarnation -> looks without a connection
        self._lost: set[str] = set()
        self._looked_at = self._calm_at = self._settled_at = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="failure detector", daemon=True)

    def __enter__(self) -> FailureDetector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(timeout=LEAVE_S)  # what is being given back is given back whole, unless Redis is away

    def _run(self) -> None:
        while not self._ending.wait(LOOK_S):
            try:
                self.look()
            except (redis.RedisError, kombu.exceptions.OperationalError, OSError) as error:
                log.debug("nodes cannot be watched now: %s", error)
            except Exception:
                log.exception("watching nodes failed; going on")

    def look(self) -> None:
        """Look once at all nodes. A detector that does not lead listens, to know as much when it does."""
        began = time.monotonic()
        first = not self._looked_at
        if began - self._looked_at > INTERRUPTED_S:
            self._heard.clear()
            self._absent.clear()
            self._settled_at = began + CALM_S
            self._calm_at = began if first and self._registry.uptime_s() > STEADY_S else self._settled_at
        redis_s = self._ledger.runs.now().timestamp() if first else 0.0
        leads = self._registry.lead(self._me)
        incarnations, connected = self._registry.incarnations(), self._registry.connected()
        now = time.monotonic()
        if now - began > INTERRUPTED_S:
            return  # the next look comes late, and begins anew
        self._looked_at = now
        if first:  # we were not there when they said it; those that live say it again before we judge
            for incarnation in incarnations:
                self._heard[incarnation.id] = (incarnation.seen, now - incarnation.age_s(redis_s))
        for incarnation in incarnations:
            why = self._judge(incarnation, connected, now)
            if why and leads:
                self._give_back(incarnation, why)
        for table in (self._heard, self._absent):
            for gone in table.keys() - {incarnation.id for incarnation in incarnations}:
                del table[gone]

    def _judge(self, incarnation: Incarnation, connected: set[str] | None, now: float) -> str:
        """Why it is lost, or ""."""
        said, heard_at = self._heard.get(incarnation.id, ("", 0.0))
        if said != incarnation.seen:
            heard_at = now
            self._heard[incarnation.id] = (incarnation.seen, now)
            if said and incarnation.id in self._lost:
                self._lost.discard(incarnation.id)
                log.warning("node %s is back", incarnation.node, extra={"event": "node-back", "node": incarnation.node})
        here = connected is None or incarnation.id in connected
        self._absent[incarnation.id] = 0 if here else self._absent.get(incarnation.id, 0) + 1
        if self._absent[incarnation.id] >= ABSENT_LOOKS and now > self._calm_at:
            return "left" if incarnation.phase == "left" else "its connections are gone"
        is_silent = now - heard_at > SILENT_S and now > self._settled_at
        return f"not heard of for {now - heard_at:.0f} s" if is_silent else ""

    def _give_back(self, incarnation: Incarnation, why: str) -> None:
        messages = self._registry.held(incarnation.id)
        worker = Worker(incarnation.node, incarnation.id)
        for run, units in filter(None, (TaskId.parse(task_id(message)) for message in messages)):
            for unit in units:
                # Entered before the message goes back: the node that takes it knows.
                self._ledger.chunks.end_attempt(run, unit, "lost", worker, f"the node is lost: {why}")
        if messages:
            for dropped in held.restore(self._app, incarnation.id):
                self._publish_anew(dropped)
        if incarnation.id not in self._lost:
            self._lost.add(incarnation.id)
            if incarnation.phase != "left":
                self._registry.count_loss()
                rest = f"; what it held ({len(messages)}) goes to others" if messages else ""
                log.warning(
                    "node %s is lost: %s%s", incarnation.node, why, rest,
                    extra={"event": "node-lost", "node": incarnation.node},
                )  # fmt: skip
        elif not messages and time.monotonic() - self._heard[incarnation.id][1] > FORGET_S:
            self._registry.forget(incarnation.id)
            self._lost.discard(incarnation.id)

    def _publish_anew(self, dropped: About) -> None:
        """Several nodes were lost with a message, perhaps by its fault: what a running run needs of it is published
        anew.
        """
        run, units = TaskId.parse(dropped.id) or ("", ())
        published = False
        with contextlib.suppress(errors.RunFailed):
            if run and self._ledger.runs.progress(run).state == "running":
                requirement, limits = self._ledger.runs.requirement(run), self._ledger.runs.policy(run).limits
                for unit in units:
                    publish.redeliver(self._app, requirement, run, unit, limits)
                published = True
        log.warning(
            "message %s is dropped: %d nodes were lost while they held it%s",
            dropped.id, dropped.lost, "; its work is published anew" if published else "",
            extra={"event": "message-dropped", "run": run},
        )  # fmt: skip
