"""A step of Celery's consumer that holds the node to its allowance: it lets chunks in, and hands them back."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

import psutil
from celery import bootsteps
from celery.concurrency.prefork import TaskPool
from celery.worker import state as worker_state

from cluster import keys
from cluster.settings import MiB, Settings
from cluster.wire import MAP
from cluster.worker import capacity, politeness
from cluster.worker.host import HostMonitor, Member
from cluster.worker.politeness import Allowance, Policy, Reading
from cluster.worker.room import Room

LOOK_S = 1.0
RECOVER_S = 3.0
"""Seconds after a chunk was handed back before the next one may be: its memory must show as available first."""
log = logging.getLogger(__name__)
_handed_back: set[int] = set()


def handed_back(pid: int) -> bool:
    """Whether the pool's process ``pid`` was ended so that memory does not run out: no fault of its chunk.

    True once, for another process may get its number.
    """
    if pid not in _handed_back:
        return False
    _handed_back.discard(pid)
    return True


def end_largest(members: list[Member], working: set[int]) -> int | None:
    """Kill the largest of the pool's processes that work on a chunk; gives its id, None where there is none."""
    found = [member for member in members if member.pid in working]
    if not found:
        return None
    largest = max(found, key=lambda member: member.bytes)
    _handed_back.add(largest.pid)
    for process in largest.tree:  # itself first: it must not take its program's end for a failure
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return largest.pid


class Admission(bootsteps.StartStopStep):  # type: ignore[misc]
    """Looks at the machine every second, and fills no more slots than are allowed.

    Chunks that run are let end. Only when memory is about to run out, one is handed back: its process
    is killed, and Celery puts its message back (``task_reject_on_worker_lost``).
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    config: Settings
    """Set by ``setup.prepare``."""
    replicas: Callable[[], int] = staticmethod(lambda: 0)
    """Set by ``setup.prepare``: how many replicas of services this node has. Each takes a slot, but the last one."""
    served: Callable[[], Collection[str]] = staticmethod(tuple)
    """Set by ``setup.prepare``: the capability of each of these replicas."""
    expected: Callable[[], Collection[str]] = staticmethod(tuple)
    """Set by ``setup.prepare``: the capabilities of which messages may come."""
    reading: Reading
    """The last reading of the machine, for other code that needs the same figures; set from ``start`` on."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._monitor = HostMonitor(psutil.Process())
        self._policy = Policy(self.config)
        self._timer: Any = None
        self._ended = 0
        self._closed = False
        self._recovers_until_s = 0.0
        self.slots = 0
        """Slots of the node, those given back among them."""
        self.most = 0
        """Slots that its owner has set. Remote control cannot have more."""
        self.paused_by = ""
        """Who has paused this node; "" for nobody."""
        self._allowed = Allowance(0)
        self.room = Room(0, 0)
        """The memory that chunks share, known from ``start`` on."""
        consumer.cluster_admission = self
        super().__init__(consumer, **options)

    @property
    def allowance(self) -> Allowance:
        """Slots that may be filled: none while people have paused the node, else as the machine is used."""
        return politeness.paused(self.paused_by) if self.paused_by else self._allowed

    @property
    def limit(self) -> int:
        """Slots that chunks may fill: those that are allowed, without those of replicas."""
        allowed = self.allowance.slots
        return max(1, allowed - self.replicas()) if allowed else 0

    @property
    def working(self) -> list[str]:
        """The capability of each message that is here, by the queue it came from; "" of those that only join parts."""
        return [
            keys.capability_of(request.delivery_info.get("routing_key") or "") if request.type == MAP else ""
            for request in worker_state.reserved_requests
        ]

    def start(self, consumer: Any) -> None:
        """The consumer is connected, on a channel that is new each time."""
        self.look(consumer)
        self._stand_before(consumer.task_consumer.channel)
        self._timer = consumer.timer.call_repeatedly(LOOK_S, self.look, (consumer,))

    def stop(self, consumer: Any) -> None:
        """The consumer stops, to connect again or for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self, consumer: Any) -> None:
        """Find out what is allowed now, and see to it."""
        reading, members = self._monitor.read()
        self.reading = reading
        before, now_s = self._allowed, time.monotonic()
        self.slots = consumer.pool.num_processes + self._ended
        if not self.most:
            self.most = self.slots
            self.room = Room(capacity.chunk_memory_bytes(self.config, self.slots), self.config.slot_memory_bytes)
        self._allowed = self._policy.decide(reading, self.slots, now_s)
        self.room.beside_bytes = self.room.taken_bytes(self.served())
        self._report(consumer.hostname, before)
        if isinstance(consumer.pool, TaskPool):  # other pools have no processes to end
            # The pool hears of a process that dies a moment before it can be waited for; it looks again after 5 s.
            consumer.pool.maintain_pool()
            due = politeness.runs_out(reading, self.config) and now_s >= self._recovers_until_s
            # While this node polls Redis for messages, it might at once take the chunk that it hands back.
            if due and not consumer.task_consumer.channel._in_poll:
                self._hand_back(reading, members, now_s)
            self._fit(consumer)

    def _stand_before(self, channel: Any) -> None:
        """Have the channel ask us, too, before it takes a message; Celery does it so for ``worker_disable_prefetch``.

        An answer that is on its way (``_in_poll``) is read all the same, so there may be one chunk too many.
        kombu would leave it in the socket, and a message that is in there is in no queue and in no list.
        """
        may_consume = channel.qos.can_consume

        def can_consume() -> bool:
            if channel._in_poll:
                return True
            limit = 0 if self._closed else self.limit
            if len(worker_state.reserved_requests) >= limit:
                return False
            return self.room.has_place(self.working, self.expected()) and bool(may_consume())

        channel.qos.can_consume = can_consume

    def _report(self, node: str, before: Allowance) -> None:
        now, more = self._allowed, {"event": "slots", "node": node}
        if self.paused_by or (now.slots, now.held_back) == (before.slots, before.held_back):
            return
        if now.held_back:
            log.info("gives back %s of %s slots: %s", self.slots - now.slots, self.slots, now.detail, extra=more)
        elif before.held_back:
            log.info("takes its slots again, %s of %s: the machine is calm", now.slots, self.slots, extra=more)

    def _hand_back(self, reading: Reading, members: list[Member], now_s: float) -> None:
        pid = end_largest(members, {request.worker_pid for request in worker_state.active_requests})
        if pid is not None:
            self._recovers_until_s = now_s + RECOVER_S
            free = reading.memory_available_bytes // MiB
            log.warning("memory runs out (%s MiB available): the chunk of process %s is handed back", free, pid)

    def _fit(self, consumer: Any) -> None:
        """While memory is low, end processes that have nothing to do, for what they hold; later start them again.

        Meanwhile nothing is let in, and none is ended before it is sure that none is about to get a chunk.
        """
        pool, wanted = consumer.pool, self._wanted(consumer.pool.num_processes)
        alive, busy = len(pool.info["processes"]), len(worker_state.active_requests)
        self._closed = max(alive, pool.num_processes) > wanted
        if pool.num_processes < wanted:
            self._ended -= wanted - pool.num_processes
            pool.grow(wanted - pool.num_processes)
            pool.maintain_pool()
        elif (
            self._closed
            and alive == pool.num_processes
            and busy == len(worker_state.reserved_requests)
            and not consumer.task_consumer.channel._in_poll
            and (idle := min(alive - wanted, alive - busy)) > 0
        ):
            self._ended += idle
            pool.shrink(idle)

    def _wanted(self, processes: int) -> int:
        """How many processes the pool should have, one at least."""
        allowed = max(1, self._allowed.slots)
        if self._allowed.held_back == "memory low":
            return allowed
        return max(allowed, processes) if self._allowed.held_back else self.slots
