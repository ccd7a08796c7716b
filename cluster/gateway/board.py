"""The services as the cluster has them now, their ready versions, and who may ask. A thread reads them."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

import redis

from cluster import catalog, errors, keys, redis_client
from cluster.names import ModelRef, Target
from cluster.roles import Role
from cluster.services import replicas, targets, tokens
from cluster.services.desired import Service, Services
from cluster.services.replicas import Replica
from cluster.services.tokens import KnownTokens, Tokens
from cluster.stores import Stores

if TYPE_CHECKING:
    from cluster.job import Job
    from cluster.settings import Settings
    from tasks import Tensors

LOOK_S = 0.25
READ_S = 2.0
"""Seconds between two readings of the services without news: versions that requests named end without any."""
ASK_AGAIN_S = 10.0
"""Seconds after which a version that requests name is asked for again."""
log = logging.getLogger(__name__)


class Known(NamedTuple):
    """One service, as of the last look."""

    service: Service
    job: Job | None
    """None where this program does not have it."""
    current: int | None
    """The version for requests that name none, once a replica has it; None where there is none."""
    ready: Mapping[int | None, int]
    """Version -> replicas that take requests for it. A job without models has the version None."""
    used: int | None
    """The version that such requests go to now."""

    @property
    def is_ready(self) -> bool:
        """Whether a request that names no version finds a replica."""
        return self.used in self.ready


class State(NamedTuple):
    """What a gateway knows of the cluster. Never changed: the next look makes another."""

    services: Mapping[str, Known]
    tokens: KnownTokens
    problem: str
    """Why it may be out of date; "" where it is not."""


NOTHING = State({}, KnownTokens(), "the gateway has not yet read the cluster's services")


class Board:
    """Keeps ``state`` up to date, as ``with Board(config) as board``."""

    def __init__(self, config: Settings, on_change: Callable[[State], object] = lambda state: None) -> None:
        self._stores = Stores.connect(config, patient=False)
        self._on_change = on_change
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway-board", daemon=True)
        self._asked: set[Target] = set()
        self._about: dict[str, Tensors] = {}
        self._wanted: dict[str, tuple[Service, list[ModelRef | None]]] = {}
        self._revision, self._read_s = -1, 0.0
        self._used: set[str] = set()
        self._noted_s = -math.inf
        self.state = NOTHING

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._stores.redis.close()

    def is_ready(self, service: str) -> bool:
        """Whether a request to a service that names no version finds a replica."""
        known = self.state.services.get(service)
        return known is not None and known.is_ready

    def ask(self, target: Target) -> None:
        """A request names a version that no replica has: have it served for a while. Safe in any thread."""
        self._asked.add(target)

    def why_no_version(self, service: Service, target: Target) -> str:
        """Why a version cannot be served, or "". Asks Redis."""
        if service.model is None:
            return f"{service.name} has no versions; leave out the number"
        ref = ModelRef(ModelRef.parse(service.model).name, target.version)
        try:
            self._stores.models.manifest(str(ref))
        except errors.UsageError:
            return f"there is no version {target.version} of {ref.name}"
        except (redis.RedisError, OSError, errors.ClusterError):
            return ""
        return ""

    def takes(self, known: Known, version: int | None) -> Tensors | None:
        """What a version takes and gives as tensors, None where that cannot be found out here. Fetches the model."""
        if known.job is None or known.job.infer_about is None or known.service.model is None:
            return None
        try:
            name = ModelRef.parse(known.service.model).name
            reference = self._stores.models.manifest(str(ModelRef(name, version))).reference
            if reference not in self._about:
                folder = self._stores.models.fetch(reference)
                self._about[reference] = known.job.infer_about(str(folder))
            return self._about[reference]
        except Exception as error:  # noqa: BLE001 - a model may need what this machine lacks
            log.info("what %s takes cannot be told: %s", known.service.model, error)
            return None

    def look(self) -> None:
        """Read everything once."""
        try:
            state = self._read()
        except (redis.RedisError, OSError, errors.ClusterError) as error:
            state = self.state._replace(problem=f"the cluster's Redis does not answer ({type(error).__name__})")
        self.state = state
        self._on_change(state)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
            except Exception:
                log.exception("the gateway could not read the cluster's services")

    def _read(self) -> State:
        """Read what changes all the time, in one round trip; services and their versions where something is new."""
        self._note_used()
        while self._asked:
            asked = self._asked.pop()
            if asked.version is not None:
                targets.ask(self._stores.redis, asked.service, asked.version)
        revision, known_tokens, there = self._read_changes()
        now_s = time.monotonic()
        if revision != self._revision or now_s - self._read_s >= READ_S:
            services = Services(self._stores.redis).all()
            self._wanted = {one.name: (one, targets.versions(one, self._stores)) for one in services}
            self._revision, self._read_s = revision, now_s
            _, known_tokens, there = self._read_changes()
        known = {name: self._known(*wanted, there[name]) for name, wanted in self._wanted.items()}
        return State(known, known_tokens, "")

    def _read_changes(self) -> tuple[int, KnownTokens, Mapping[str, Sequence[Replica]]]:
        """The revision, the tokens, and the replicas of the services that are known."""
        with self._stores.redis.pipeline(transaction=False) as pipe:
            pipe.get(keys.REVISION)
            pipe.hgetall(keys.TOKENS)
            pipe.time()
            replicas.ask(pipe, self._wanted)
            revision, rows, now, *replies = pipe.execute()
        known = KnownTokens(tokens.read(rows), now[0], Role.SUBMITTER)
        return redis_client.number(revision), known, replicas.told(self._wanted, replies)

    def _note_used(self) -> None:
        """Note now and then which tokens were used since the last look."""
        used = self.state.tokens.used
        while used:
            self._used.add(used.pop())
        if self._used and time.monotonic() - self._noted_s >= tokens.NOTED_S:
            Tokens(self._stores.redis).note_used(sorted(self._used))
            self._used, self._noted_s = set(), time.monotonic()

    def _known(
        self, service: Service, found: Sequence[ModelRef | None], there: Sequence[Replica]
    ) -> Known:  # fmt: skip
        ready: Counter[int | None] = Counter()
        for replica in there:
            if not replica.draining:
                ready.update(Target.parse(target).version for target in replica.ready)
        current = found[0].version if found and found[0] is not None else None
        before = self.state.services.get(service.name)
        used = choose(current, ready, before.used if before else None, {*service.canary, service.shadow})
        return Known(service, job(service.job), current, ready, used)


def choose(
    wanted: int | None, ready: Mapping[int | None, int], before: int | None, others: set[int | None]
) -> int | None:
    """The version for requests that name none: the wanted one as soon as a replica has it, until then the one before.

    Args:
        wanted: The current version.
        ready: Version -> replicas that have it.
        before: The version that the requests went to until now.
        others: Versions that are served for another reason, taken only if there is nothing else.
    """
    if wanted in ready or not ready:
        return wanted
    if before in ready:
        return before
    usual = [version for version in ready if version not in others] or list(ready)
    return max(usual, key=lambda version: (ready[version], version or 0))


def job(name: str) -> Job | None:
    """The job of that name, None where this program has none."""
    try:
        return catalog.get(name)
    except errors.UsageError:
        return None
