"""Keep this node's replicas of services: start and end their processes as the services of the cluster want them.

A thread of the worker's main process looks every ``LOOK_S``. All it knows stands in Redis, but for its own processes,
so any node may stop and another one does its part.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import redis

from cluster import catalog, errors, keys, names, redis_client
from cluster.names import ModelRef
from cluster.nodes import wanted
from cluster.nodes.registry import PENDING
from cluster.redis_rows import WantedRow
from cluster.services import targets
from cluster.services.desired import Service, Services
from cluster.services.replicas import Replica, Replicas, Row
from cluster.settings import Settings
from cluster.stores import Stores
from cluster.worker.admission import Admission
from cluster.worker.provisioner import Provisioner
from cluster.worker.replica_child import Child, ended

LOOK_S = 0.25
READ_S = 2.0
"""Seconds between two readings of the services without news: what was asked for ends, a folder of bundles has none."""
WANT_S = 15.0
"""Seconds between two entries of what a service wants; it is wanted for ``wanted.SERVICE_S``."""
DELAY_S = 0.2
"""A node waits so long before it starts a replica, for each that it has: those with fewer go first."""
HELD_BACK_DELAY_S = 1.0
"""The same for a node whose owner uses it."""
AT_ONCE_S = 5.0
"""A replica that ends by itself sooner than this after its start, or before it was ready, has failed."""
PAUSE_S, MOST_PAUSE_S = 0.5, 30.0
"""Seconds before a replica is started again after one that failed: the first pause and the longest one."""
READY_S = 120.0
"""A replica that is not ready after these seconds is ended."""
DRAIN_S = 10.0
"""Seconds that a replica has to answer what it has taken."""
STEADY_S = 3.0
"""Seconds after Redis was away before replicas without a connection count as gone: they connect again first."""
log = logging.getLogger(__name__)


class Wish(NamedTuple):
    """A service, with the versions that it is to serve: see ``targets.versions``."""

    service: Service
    versions: Sequence[ModelRef | None]
    candidate: ModelRef | None = None
    """Not served yet, but fetched and tried: see ``targets.candidate``."""

    def capability(self, ref: ModelRef | None) -> str:
        """What a node must serve to serve that version.

        Raises:
            errors.ClusterError: The job is not known here, or the options are none of it.
        """
        job = catalog.get(self.service.job)
        return job.requirement(job.check_options(targets.capability_options(self.service, ref)))


class Failure(NamedTuple):
    """Why a service has no replica here, and until when none is started."""

    why: str
    until: float
    """Time of ``time.monotonic``."""
    pause_s: float


class Keeper:
    """Keeps as many replicas on this node as it is to have.

    Args:
        stores: The cluster's, which are not waited for.
        config: This node's.
        provisioner: Knows which capabilities this node can serve.
    """

    def __init__(self, stores: Stores, config: Settings, provisioner: Provisioner) -> None:
        self._stores = stores
        self._redis = stores.redis
        self._config = config
        self._provisioner = provisioner
        self._services = Services(stores.redis)
        self._replicas = Replicas(stores.redis)
        self._children: dict[str, Child] = {}
        self._wishes: dict[str, Wish] = {}
        self._failures: dict[str, Failure] = {}
        self._missing_since: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._wanted_at: dict[tuple[str, str], float] = {}
        self._revision = -1
        self._read_at = self._away_at = -READ_S
        self._looked_at = 0.0
        self._node = ""
        self._admission: Admission
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replicas", daemon=True)

    def start(self, node: str, admission: Admission) -> None:
        """Begin to look, unless begun.

        Args:
            node: The name of this node.
            admission: Of the consumer as it is connected now.
        """
        self._node, self._admission = node, admission
        if not self._thread.is_alive() and not self._ending.is_set():
            self._thread.start()

    def count(self) -> int:
        """How many replicas this node has."""
        return len(self._children)

    def capabilities(self) -> list[str]:
        """What each of them needs; "" where that is not known any more."""
        found = []
        for child in list(self._children.values()):
            wish, capability = self._wishes.get(child.service.name), ""
            if wish is not None and wish.versions:
                with contextlib.suppress(errors.ClusterError):
                    capability = wish.capability(wish.versions[0])
            found.append(capability)
        return found

    def drain(self) -> None:
        """Start no more replicas, and have those here end once they have answered what they took."""
        self._ending.set()
        for child in list(self._children.values()):
            child.drain(DRAIN_S)

    def end(self) -> None:
        """Wait for those that ``drain``, and end the others."""
        self.drain()
        until = time.monotonic() + DRAIN_S
        children = list(self._children.values())
        while any(child.code() is None for child in children) and time.monotonic() < until:
            time.sleep(0.02)
        for child in children:
            child.kill()
        self._provisioner.expect_trials(())

    def _run(self) -> None:
        while not self._ending.wait(LOOK_S):
            try:
                self.look()
            except (redis.RedisError, OSError) as error:
                self._away_at = time.monotonic()
                log.debug("replicas cannot be looked after now: %s", error)
            except Exception:
                log.exception("looking after replicas failed; going on", extra={"event": "replicas-failed"})
        threading.Event().wait()  # Linux takes the end of the thread that started a process for the end of its parent

    def look(self) -> None:
        """See to the replicas of this node, once.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        self._read_services()
        self._expect_trials()
        if not self._wishes and not self._children:
            return
        found = self._replicas.read({*self._wishes, *(child.service.name for child in self._children.values())})
        self._reap()
        for child in list(self._children.values()):
            self._look_after(child, found[child.service.name])
        for wish in self._wishes.values():
            self._start_missing(wish, found[wish.service.name])
        self._drop_vanished(found)

    def _read_services(self) -> None:
        """Read the services and their versions where something has changed."""
        revision = redis_client.number(self._redis.get(keys.REVISION))
        now = time.monotonic()
        if revision == self._revision and (now - self._read_at < READ_S or not self._wishes):
            return
        self._wishes = {
            service.name: Wish(
                service, targets.versions(service, self._stores), targets.candidate(service, self._stores)
            )
            for service in self._services.all()
        }
        self._revision, self._read_at = revision, now
        for wish in self._wishes.values():
            self._want(wish)
        self._provisioner.heard(revision)

    def _want(self, wish: Wish) -> None:
        """Have the nodes find out whether they can serve its versions."""
        now = time.monotonic()
        for ref in dict.fromkeys((*wish.versions, wish.candidate)):
            try:
                capability = wish.capability(ref)
            except errors.ClusterError:
                continue
            if capability == names.plain(capability):
                continue
            row = (capability, WantedRow.of_service(wish.service.name))
            if now - self._wanted_at.get(row, -WANT_S) >= WANT_S:
                wanted.enter(self._redis, *row)
                self._wanted_at[row] = now

    def _expect_trials(self) -> None:
        """Have trials begin at once of what people may push and pin for the services that this node answers for."""
        ready = {child.service.name for child in self._children.values() if child.was_ready}
        wishes = (wish for name, wish in self._wishes.items() if name in ready and wish.candidate)
        self._provisioner.expect_trials({wish.service.job for wish in wishes})

    def _reap(self) -> None:
        """Forget the processes that have ended; those that did so by mistake are told of."""
        for child in list(self._children.values()):
            code = child.code()
            if code is None:
                continue
            name = child.service.name
            del self._children[child.id]
            child.close()
            self._replicas.release(name, child.id)
            if code == 0 or child.drains_until is not None:
                continue
            child.reader.join(LOOK_S)  # for its last words
            why = ended(code, child.last_lines)
            log.warning("a replica of %s ended: %s", name, why, extra={"event": "replica-ended"})
            if not child.was_ready or time.monotonic() - child.began < AT_ONCE_S:
                before = self._failures.get(name)
                pause_s = min(2 * before.pause_s, MOST_PAUSE_S) if before else PAUSE_S
                self._failures[name] = Failure(why, time.monotonic() + pause_s, pause_s)
                self._tell(name, why)

    def _look_after(self, child: Child, replicas: Sequence[Replica]) -> None:
        wish, now = self._wishes.get(child.service.name), time.monotonic()
        if child.drains_until is not None:
            if now > child.drains_until:
                child.kill()
            return
        mine = next((one for one in replicas if one.id == child.id), None)
        if mine is not None and mine.ready and not child.was_ready:
            child.was_ready = True
            self._failures.pop(child.service.name, None)
            self._tell(child.service.name, "")
        if wish is None or self._cannot_become(wish, child) or self._gives_way(child, replicas):
            child.drain(DRAIN_S)
            return
        its_own = mine is not None and mine.pid  # its process keeps the lease itself
        if not its_own and self._replicas.keep(child.service.name, child.id, child.row).state != "held":
            child.drain(DRAIN_S)
        if not child.was_ready and now - child.began > READY_S:
            child.last_lines.append(f"it was not ready after {READY_S:.0f} s")
            child.kill()
        self._have_serve(child, wish)

    def _cannot_become(self, wish: Wish, child: Child) -> bool:
        """Whether a process cannot serve what is wanted now: another job, or by options that this node cannot.

        Other options are loaded by a process while it goes on with those that it has.
        """
        if wish.service.job != child.service.job:
            return True
        if wish.service.options == child.service.options or not wish.versions:
            return False
        with suppress(errors.ClusterError):
            return self._why_not_served(wish.capability(wish.versions[0])) not in ("", PENDING)
        return False

    def _why_not_served(self, capability: str) -> str:
        """Why this node does not serve a capability; ``PENDING`` while it finds out."""
        if self._provisioner.serves(capability):
            return ""
        missing = self._provisioner.served.missing
        return missing.get(capability) or missing.get(names.plain(capability)) or PENDING

    def _gives_way(self, child: Child, replicas: Sequence[Replica]) -> bool:
        """Whether the owner uses this machine, and another one has a replica that is ready."""
        if not self._admission.allowance.held_back:
            return False
        others = [one for one in replicas if one.node != self._node and one.ready]
        if others:
            log.info("a replica of %s leaves: %s", child.service.name, self._admission.allowance.held_back)
        return bool(others)

    def _have_serve(self, child: Child, wish: Wish) -> None:
        """Have a process serve the versions that this node can serve by now."""
        found: list[ModelRef | None] = []
        problems: dict[str, str] = {}
        for ref in wish.versions:
            with suppress(errors.ClusterError):
                why = self._why_not_served(wish.capability(ref))
                if not why:
                    found.append(ref)
                elif why != PENDING:
                    problems[str(targets.target(wish.service.name, ref))] = why
        has_current = bool(found) and found[0] == wish.versions[0]
        if has_current:
            child.service = wish.service
        child.serve([str(ref) if ref else None for ref in found], problems, has_current=has_current)

    def _start_missing(self, wish: Wish, replicas: Sequence[Replica]) -> None:
        """Start a replica where one is missing that no other node starts first."""
        name, now = wish.service.name, time.monotonic()
        failure = self._failures.get(name)
        if self._ending.is_set():
            return
        if len(replicas) >= wish.service.replicas or (failure and now < failure.until):
            self._missing_since.pop(name, None)
            if failure and len(replicas) < wish.service.replicas:
                self._tell(name, failure.why)
            return
        if why := self._why_not(wish, replicas):
            self._missing_since.pop(name, None)
            if why != PENDING:
                self._tell(name, why)
            return
        since = self._missing_since.setdefault(name, now + random.uniform(0, LOOK_S / 2))  # noqa: S311 - no secret
        held_back = HELD_BACK_DELAY_S if self._admission.allowance.held_back else 0.0
        if now - since < held_back + DELAY_S * len(self._children):
            return
        self._missing_since.pop(name, None)
        time_: Any = self._redis.time()
        seconds, micros = time_
        id_ = str(names.Replica.begun(seconds * 1000 + micros // 1000))
        if self._replicas.take(name, id_, Row(node=self._node)).state == "held":
            self._children[id_] = Child(wish.service, id_, self._node, self._config)
            self._have_serve(self._children[id_], wish)

    def _why_not(self, wish: Wish, replicas: Sequence[Replica]) -> str:
        """Why no replica of a service is to be started here, for people; ``PENDING`` where nobody need know."""
        try:
            if not catalog.get(wish.service.job).serves:
                return f"the job {wish.service.job} does not answer single items"
            if not wish.versions:
                return f"there is no model {wish.service.model}"
            capability = wish.capability(wish.versions[0])
        except errors.ClusterError as error:
            return str(error)
        if why := self._why_not_served(capability):
            return why
        if self.count() >= max(1, self._admission.slots):
            return f"each of its {self._admission.slots} slots has a replica"
        held_back = self._admission.allowance.held_back
        if not self._admission.allowance.slots:
            return f"paused: {held_back}"
        return PENDING if held_back and any(one.ready for one in replicas) else ""

    def _drop_vanished(self, found: Mapping[str, Sequence[Replica]]) -> None:
        """Give up the leases of other nodes' replicas that are not connected any more; one node looks at a time."""
        now = time.monotonic()
        if now - self._looked_at < 2 * LOOK_S or now - self._away_at < STEADY_S:
            return
        self._looked_at = now
        others = {name: [one for one in replicas if one.node != self._node] for name, replicas in found.items()}
        if any(others.values()) and self._redis.set(keys.LOOKED, self._node, nx=True, px=int(1000 * LOOK_S)):
            for replica in self._replicas.drop_vanished(others):
                log.warning(
                    "the replica %s of %s on %s is gone", replica.id, replica.service, replica.node,
                    extra={"event": "replica-gone"},
                )  # fmt: skip

    def _tell(self, service: str, why: str) -> None:
        """Say why this node has no replica of a service, or "" that it has one; again before what was said expires."""
        if why or self._told.get(service):
            self._replicas.tell_problem(service, self._node, why)
            self._told[service] = why
