"""The worker's side of the registry: a step of Celery's consumer that sends heartbeats and hears what people want."""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

import psutil
import redis
from celery import bootsteps
from celery.worker import state as worker_state
from celery.worker.control import control_command
from kombu.entity import Queue
from redis.exceptions import OutOfMemoryError

from cluster import catalog, keys, logs, names
from cluster.blobs.measured import EDGE, HUB
from cluster.messaging import delays
from cluster.messaging.transport import Connected
from cluster.nodes import places
from cluster.nodes.registry import HEARTBEAT_S, Links, NodeReport, Registry
from cluster.redis_client import is_full
from cluster.redis_outage import Outage
from cluster.worker import capacity, devices, identity, site
from cluster.worker.admission import Admission
from cluster.worker.provisioner import Provisioner
from cluster.worker.replicas import Keeper

if TYPE_CHECKING:
    from cluster.settings import Settings

NAMED = ("cluster", "celery", "redis", "tesserocr", "pytesseract")
ANNOUNCE_S = 5.0
"""Seconds between two events that tell monitors what the heartbeats tell the registry."""
ROUND_TRIPS = 20
"""A node tells the median of this many heartbeats' round trips."""
log = logging.getLogger(__name__)


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Sends heartbeats while the consumer is connected. They carry what the node can do and is doing."""

    requires = ("celery.worker.consumer.events:Events", "cluster.worker.admission:Admission")
    client: redis.Redis
    """Set by ``setup.prepare``: one that gives up at once, for this runs in the worker's event loop."""
    provisioner: Provisioner
    """Set by ``setup.prepare``: knows which capabilities this node can serve."""
    keeper: Keeper
    """Set by ``setup.prepare``: keeps this node's replicas of services."""
    config: Settings
    """Set by ``setup.prepare``."""
    news: Outage
    """Set by ``setup.prepare``. The main process logs outages for its children, which wait."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._incarnation = identity.incarnation()
        self._timer: Any = None
        self._report: NodeReport | None = None
        self._away = False
        self._announced_s = -ANNOUNCE_S
        self._versions = _versions()
        self._round_trips_s: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._address = self._site = ""
        self._served: set[str] = set()
        self._own: frozenset[str] = frozenset()
        self._registry = Registry(self.client)
        consumer.cluster_heartbeat = self
        if self.provisioner.unfit:
            consumer.app.amqp.queues.select([places.NOWHERE])  # whatever -Q says
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """The consumer is connected."""
        self._own = self._own or frozenset(consumer.app.amqp.queues.consume_from)
        self.find_site()
        self.provisioner.start()
        self.keeper.start(consumer.hostname, consumer.cluster_admission)
        self.send(consumer)
        if self._report is not None and not self.provisioner.unfit:
            jobs = " ".join(map(names.unversioned, self._report.jobs))
            log.info("this node takes work: slots %s, jobs %s", self._report.slots, jobs, extra={"event": "node-ready"})
        self._timer = consumer.timer.call_repeatedly(HEARTBEAT_S, self.send, (consumer,))

    def find_site(self) -> None:
        """Find out where this node is; each time that it connects, for a laptop is carried about."""
        self._address = site.address(self.config.require_broker())
        self._site = self.config.site or site.name(self._address)

    def stop(self, consumer: Any) -> None:
        """The consumer stops, to connect again or for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def shutdown(self, consumer: Any) -> None:
        """The worker ends."""
        self.stop(consumer)
        self.keeper.end()
        self._tell(consumer, "left")
        log.info("this node has left", extra={"event": "node-left"})

    def send(self, consumer: Any) -> None:
        """Tell that the node is here, and go to the state that people want.

        Raises:
            redis.TimeoutError: Redis hears us, but does not answer the consumer: Celery connects it anew.
        """
        ending = worker_state.should_stop is not None or worker_state.should_terminate is not None
        if ending:
            self.keeper.drain()
        try:
            if not self._away:
                self._serve(consumer)  # first, so that this heartbeat tells of it: submitters wait for that
        finally:
            desired = self._tell(consumer, "leaving" if ending else "here")
        if desired and not ending:
            when = " now" if desired == "stop-now" else ""
            log.warning("this node is asked to stop%s", when, extra={"event": "node-asked-to-stop"})
            self._tell(consumer, "leaving")
            if desired == "stop-now":
                worker_state.should_terminate = 0
            else:
                worker_state.should_stop = 0
        if not self._away:
            consumer.task_consumer.channel.demand_answer()

    def _pause(self, admission: Admission, by: str) -> bool:
        """Fill no slots, or fill them again, as people want it; whether that is another state than before.

        What the node works on ends.
        """
        if by == admission.paused_by:
            return False
        if by:
            log.warning("paused by %s: takes no work", logs.plain(by), extra={"event": "node-paused"})
        else:
            log.info("goes on: takes work again", extra={"event": "node-goes-on"})
        admission.paused_by = by
        return True

    def may_consume(self) -> set[str]:
        """The queues of all capabilities that this node can serve, within what it was started for."""
        return {*self._own, *(keys.queue(capability) for capability in self.provisioner.served.capabilities)}

    def _serve(self, consumer: Any) -> None:
        """Consume the queues of the capabilities that this node can serve by now, and those no more that it can't."""
        queues, served = consumer.app.amqp.queues, self.provisioner.served
        wanted = {keys.queue(capability) for capability in served.capabilities}
        if wanted == self._served:
            return
        for name in sorted(wanted - self._served):
            queue = queues.select_add(Queue(name, routing_key=name))
            consumer.task_consumer.add_queue(queue)
        consumer.task_consumer.consume()
        for name in self._served - wanted:
            consumer.cancel_task_queue(name)
        self._served = wanted
        jobs = " ".join(map(names.unversioned, self._look(consumer).jobs))
        log.info("this node now serves %s", jobs, extra={"event": "node-serves"})

    def _tell(self, consumer: Any, phase: Literal["here", "leaving", "left"]) -> str:
        if phase != "left":  # at the end the pool is gone
            self._report = self._look(consumer)
        report = self._report
        if report is None:  # it never was connected, and nobody knows of it
            return ""
        now_s = time.monotonic()
        if consumer.event_dispatcher and consumer.event_dispatcher.enabled and now_s - self._announced_s >= ANNOUNCE_S:
            consumer.event_dispatcher.send("worker-capacity", **report.model_dump())
            self._announced_s = now_s
        asked_s = time.monotonic()
        try:
            heard = self._registry.heartbeat(consumer.hostname, self._incarnation, phase, report)
            self._round_trips_s.append(time.monotonic() - asked_s)
            delays.release(self.client)
            full = is_full(self.client)
        except redis.RedisError as error:
            if self._away or not isinstance(error, redis.TimeoutError):  # a slow disk may hold up one answer
                self.news.say_away(error)
            self._away = True
            return ""
        self._away = False
        self.provisioner.heard(heard.revision)
        if full:
            self.news.say_away(OutOfMemoryError())
        else:
            self.news.say_back(wrote=True)
        if phase == "here" and self._pause(consumer.cluster_admission, heard.paused_by):
            return self._tell(consumer, phase)  # so that people see it at once
        return heard.desired

    def _look(self, consumer: Any) -> NodeReport:
        queues = consumer.app.amqp.queues.consume_from
        admission: Admission = consumer.cluster_admission
        return NodeReport(
            slots=admission.slots,
            slots_allowed=admission.limit,
            held_back=admission.allowance.held_back,
            paused_by=admission.paused_by,
            busy=len(worker_state.active_requests),
            chunk_memory_bytes=admission.room.memory_bytes,
            chunk_memory_taken_bytes=admission.room.beside_bytes + admission.room.taken_bytes(admission.working),
            done=worker_state.all_total_count[0],
            rejected=Connected.rejected,
            cores=capacity.cores(),
            memory_total_bytes=admission.reading.memory_total_bytes,
            memory_available_bytes=admission.reading.memory_available_bytes,
            load=psutil.getloadavg()[0],
            jobs=sorted(filter(None, map(catalog.capability_of, queues))),
            outdated=dict(catalog.installed.outdated),
            known=sorted(job.capability for job in catalog.jobs().values()),
            missing=self.provisioner.served.missing,
            bundles=self.provisioner.served.bundles,
            versions=self._versions,
            **self._network(),
        )

    def _network(self) -> dict[str, Any]:
        """The node's place, and how fast its links are."""
        config = self.config
        edge_url = config.edge_url.get_secret_value() if config.edge_url else ""
        rtt_s = statistics.median(self._round_trips_s) if self._round_trips_s else None
        return {
            "site": self._site,
            "lan": self._address if config.lan == "allow" else "",
            "edge": names.edge(edge_url) if edge_url else "",
            "devices": list(devices.found()),
            "links": Links(up_bytes_s=HUB.up_bytes_s, down_bytes_s=HUB.down_bytes_s, rtt_s=rtt_s),
            "edge_links": Links(up_bytes_s=EDGE.up_bytes_s, down_bytes_s=EDGE.down_bytes_s),
        }


def _versions() -> dict[str, str]:
    found = {}
    for name in NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@control_command(name="heartbeat_now")
def heartbeat_now(state: Any) -> None:
    """Told to all by ``cluster shutdown``: hear the desired state now, not with the next heartbeat."""
    step = getattr(state.consumer, "cluster_heartbeat", None)
    if step is not None:
        step.send(state.consumer)
