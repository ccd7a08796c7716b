"""A replica: a process of a node that answers requests to a service. ``python -m cluster.worker.replica``.

The node's main process starts it (``cluster.worker.replica_child``) and writes orders to its stdin, a JSON object a
line: first a ``Start``, then an ``Order`` whenever something changes. The replica ends when stdin does, as its worker
died. Log lines go to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import redis
from pydantic import BaseModel

import tasks
from cluster import catalog, errors, names, redis_client, redis_outage
from cluster.names import ModelRef
from cluster.services import messages, targets
from cluster.services.desired import Service
from cluster.services.messages import Answer, Request
from cluster.services.replicas import Replicas, Row
from cluster.settings import Settings
from cluster.stores import Stores
from cluster.wire import BadMessage
from cluster.worker import batches
from cluster.worker.batch_size import BatchSize
from cluster.worker.batches import Loaded
from cluster.worker.request_lists import Done, Lists, portions

PR_SET_PDEATHSIG = 1
OOM_SCORE = "500"
KEEP_S = 1.0
"""Seconds between two renewals of the lease."""
AGAIN_S = 0.25
"""Seconds until Redis is asked again that is away."""
STALE_S = 2.0
"""A version that is wanted no more is served for the service's deadline and these seconds, as requests are on their
way."""
LOAD_AGAIN_S = 30.0
"""Seconds until a version is loaded again that could not be."""
STUCK_S = 600.0
"""A batch that takes longer ends the process."""
log = logging.getLogger(__name__)


class Start(BaseModel):
    """The first line of stdin."""

    config: dict[str, Any]
    """The settings of the node's worker, as JSON; its broker's URL among them."""
    service: Service
    node: str
    id: str
    """``names.Replica``. Its lease is taken."""


class Order(BaseModel):
    """What a replica is to do from now on."""

    versions: list[str | None]
    """References of the versions to serve, the current one first; [None] for a service without a model."""
    has_current: bool = True
    """Whether the first is the current one; else that is being fetched, and what is served goes on."""
    problems: dict[str, str] = {}
    """Target -> why this node cannot serve a version that is wanted, for others to read."""
    options: dict[str, Any] | None = None
    """Of the service's job from now on; None: those before."""
    drain: bool = False
    """Take no more requests, answer those that were taken, end."""


class Served:
    """The versions that a replica serves. Loads new ones while the others go on; the thread of ``run`` does it.

    Args:
        start: Which service.
        stores: Of this process; waited for while Redis is away.
        config: The node's.
    """

    def __init__(self, start: Start, stores: Stores, config: Settings) -> None:
        self._service = start.service
        self._stores = stores
        self._config = config
        self._job = catalog.get(start.service.job)
        self._wanted = Order(versions=[])
        self._stale_at: dict[str, float] = {}
        self._made: dict[str, Mapping[str, Any]] = {}  # target -> the service's options with which it was loaded
        self._news = threading.Event()
        self.loaded: Mapping[str, Loaded] = {}
        """Target -> what answers its requests. Replaced, never changed."""
        self.sizes: dict[str, BatchSize] = {}
        """Target -> how many of its requests to take at once."""
        self.problems: dict[str, str] = {}
        """Target -> why it could not be loaded."""
        self.problems_here: Mapping[str, str] = {}
        """See ``Order.problems``."""
        self.changed = threading.Event()
        """Set after each change."""
        self.needs_new_process = False
        """The current version requires other packages than this process works with."""

    def want(self, order: Order) -> None:
        """Serve its versions from now on, as soon as they are loaded."""
        self._wanted = order
        self._news.set()

    def run(self) -> None:
        """Load what is wanted, for ever."""
        while True:
            self._news.wait(max(0.01, self.due_s()))
            self._news.clear()
            self._settle(self._wanted)

    def due_s(self) -> float:
        """Seconds until there is something to do without news."""
        now = time.monotonic()
        return min((LOAD_AGAIN_S if self.problems else 60.0, *(at - now for at in self._stale_at.values())))

    def _settle(self, order: Order) -> None:
        if order.options is not None:
            self._service = self._service.model_copy(update={"options": order.options})
        refs = {str(targets.target(self._service.name, ref)): ref for ref in map(_ref, order.versions)}
        current = next(iter(refs), None) if order.has_current else None
        for target, ref in refs.items():
            if target not in self.loaded or self._made[target] != self._service.options:
                self._load(target, ref, is_current=target == current)
        now = time.monotonic()
        if current in self.loaded:  # until then requests go to the one before
            for target in self.loaded.keys() - refs.keys():
                self._stale_at.setdefault(target, now + self._service.deadline_ms / 1000 + STALE_S)
        self._stale_at = {target: at for target, at in self._stale_at.items() if target not in refs}
        gone = {target for target, at in self._stale_at.items() if at <= now}
        self._stale_at = {target: at for target, at in self._stale_at.items() if target not in gone}
        self.loaded = {target: loaded for target, loaded in self.loaded.items() if target not in gone}
        self.problems = {target: why for target, why in self.problems.items() if target in refs}
        self.problems_here = order.problems
        self.changed.set()

    def _load(self, target: str, ref: ModelRef | None, *, is_current: bool) -> None:
        began = time.monotonic()
        try:
            loaded = self._loaded(ref)
            took_s = batches.warm_up(loaded)
        except errors.OtherProcess as error:
            self.needs_new_process |= is_current
            self.problems[target] = f"it requires other packages than the version that is served beside it: {error}"
        except Exception as error:  # noqa: BLE001 - one version that cannot be used must not end the others
            self.problems[target] = str(error) or type(error).__name__
            log.error("%s cannot be served: %s", target, self.problems[target])  # noqa: TRY400
        else:
            self.problems.pop(target, None)
            self.sizes[target] = BatchSize(took_s)
            self._made[target] = self._service.options
            self.loaded = {**self.loaded, target: loaded}
            log.info("serves %s, loaded in %.2f s", target, time.monotonic() - began)
        self.changed.set()

    def _loaded(self, ref: ModelRef | None) -> Loaded:
        job, options = self._job, targets.capability_options(self._service, ref)
        here = self._stores.models.options(job, job.check_options(options))
        return Loaded(job, here, ref.version if ref else None, self._config.max_megapixels)


def _ref(text: str | None) -> ModelRef | None:
    return None if text is None else ModelRef.parse(text)


class Process:
    """The replica's process.

    Args:
        start: Who it is.
        orders: The further lines of stdin.
    """

    def __init__(self, start: Start, orders: IO[str]) -> None:
        self._start = start
        tasks.here = start.node
        self._orders = orders
        self._config = Settings(**start.config)
        url = self._config.require_broker()
        name = names.replica_connection(start.id)
        self._redis = redis_client.connect(url, patient=False, name=name)
        self._replicas = Replicas(self._redis)
        self._lists = Lists(self._redis)
        self._done = Done()
        self._served = Served(start, Stores.connect(self._config), self._config)
        self._row = Row(node=start.node, host=socket.gethostname(), pid=os.getpid())
        self._ahead_ms = 0.0  # of Redis's clock before this process's
        self._draining = threading.Event()
        self._lease = threading.Lock()
        self._busy_since: float | None = None
        self._batches = self._requests = 0
        self._news = redis_outage.outage(url)

    def run(self) -> None:
        """Serve until it is drained; ends the process."""
        self._keep()
        for run in (self._served.run, self._hear, self._keep_on):
            threading.Thread(target=run, name=run.__name__, daemon=True).start()
        while not self._draining.is_set() and not self._served.loaded:
            self._served.changed.wait(0.1)
        self._serve()
        with self._lease:  # for ever, so that it is not taken again
            with contextlib.suppress(redis.RedisError, OSError):
                self._replicas.release(self._start.service.name, self._start.id)
            os._exit(0)  # threads of engines may take long to end

    def drain(self, *_: object) -> None:
        """Take no more requests; a signal handler, too."""
        self._draining.set()

    def _serve(self) -> None:
        """Take requests and answer them; the answers of a batch go out with the question for the next one."""
        answers: list[tuple[str, bytes]] = []
        while True:
            draining, loaded = self._draining.is_set(), self._served.loaded
            known = list(loaded)
            if draining and not answers:
                return
            try:
                taken = self._lists.exchange(answers, [] if draining else known, self._most(known))
                answers = []
            except redis_outage.AWAY as error:
                self._news.say_away(error)
                time.sleep(AGAIN_S)
                continue
            if self._news.is_on:
                self._news.say_back(wrote=True)
            if taken:
                answers = self._answer(taken, loaded)

    def _most(self, known: Iterable[str]) -> int:
        """How many requests to take at once."""
        return min((self._served.sizes[target].most for target in known), default=1)

    def _answer(self, taken: Sequence[tuple[str, bytes]], loaded: Mapping[str, Loaded]) -> list[tuple[str, bytes]]:
        """Answer requests, each taken for a target; gives gateways with their messages."""
        self._busy_since = time.monotonic()
        of: dict[str, list[Request]] = {}
        for target, raw in taken:
            try:
                request = Request.unpack(raw)
            except BadMessage as error:
                log.warning("a request for %s is dropped: %s", target, error)
                continue
            if self._done.take(request):
                of.setdefault(target, []).append(request)
        answers: list[tuple[str, bytes]] = []
        for target, requests in of.items():
            for portion in portions(requests):
                try:
                    answers += self._answer_portion(target, portion, loaded[target])
                except redis_outage.AWAY as error:  # the gateways ask again
                    self._done.forget(portion)
                    self._news.say_away(error)
        self._busy_since = None
        return answers

    def _answer_portion(self, target: str, requests: Sequence[Request], loaded: Loaded) -> list[tuple[str, bytes]]:
        now_ms = time.time() * 1000 + self._ahead_ms
        due = self._with_payloads([request for request in requests if request.deadline_ms > now_ms])
        if not due:
            return []
        began = time.perf_counter()
        done = batches.answer(loaded, due)
        took_s = time.perf_counter() - began
        self._served.sizes[target].saw(len(due), took_s)
        self._batches += 1
        self._requests += len(due)
        of: dict[str, list[Answer]] = {}
        for request, answer in done:
            of.setdefault(request.gateway, []).append(answer)
        return [
            (gateway, packed)
            for gateway, answers in of.items()
            for packed in messages.pack_all(loaded.version, answers, int(took_s * 1e6))
        ]

    def _with_payloads(self, requests: list[Request]) -> list[Request]:
        """The requests with their payloads; without those whose payload is gone, as their deadline is over."""
        large = [at for at, request in enumerate(requests) if isinstance(request.payload, int)]
        if not large:
            return requests
        found = self._lists.payloads(requests[at] for at in large)
        for at, payload in zip(large, found, strict=True):
            whole = isinstance(payload, bytes) and len(payload) == requests[at].size_bytes
            requests[at] = requests[at]._replace(payload=payload if whole else -1)  # type: ignore[arg-type]
        return [request for request in requests if request.payload != -1]

    def _hear(self) -> None:
        """Follow the orders on stdin; where it ends, the worker is gone."""
        for line in self._orders:
            order = Order.model_validate_json(line)
            if order.drain:
                self.drain()
            else:
                self._served.want(order)
        os._exit(1)

    def _keep_on(self) -> None:
        """Keep the lease, and tell of changes at once."""
        parent = os.getppid()
        while True:
            self._served.changed.wait(KEEP_S)
            self._served.changed.clear()
            if os.getppid() != parent:  # its end may be held open by another child of the worker
                os._exit(1)
            busy_since = self._busy_since
            if busy_since is not None and time.monotonic() - busy_since > STUCK_S:
                log.error("a batch takes longer than %.0f s; this replica ends", STUCK_S)
                os._exit(1)
            if self._served.needs_new_process:
                self.drain()
            self._keep()

    def _keep(self) -> None:
        served, draining = self._served, self._draining.is_set()
        self._row = self._row.model_copy(
            update={
                "ready": [] if draining else list(served.loaded),
                "problems": {**served.problems_here, **served.problems},
                "batches": self._batches, "requests": self._requests, "draining": draining,
            }
        )  # fmt: skip
        try:
            kept = self._replicas.keep(self._start.service.name, self._start.id, self._row)
        except (redis.RedisError, OSError):  # the main thread says so
            return
        self._ahead_ms = kept.now_ms - time.time() * 1000
        if kept.state != "held" and not draining:
            log.info("ends: %s", "the service has enough others" if kept.state == "over" else "the service is gone")
            self.drain()


def _die_with_parent() -> None:
    """Have the kernel kill this process when the worker's main process ends, however it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def main() -> None:
    """Be the replica that the first line of stdin names."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, for the worker
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    start = Start.model_validate(json.loads(sys.stdin.readline()))
    process = Process(start, sys.stdin)
    signal.signal(signal.SIGTERM, process.drain)
    process.run()


if __name__ == "__main__":
    main()
