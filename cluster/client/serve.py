"""Serve a job in real time: enter a service, wait for its replicas, ask it, and run a gateway for other programs."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson

from cluster import catalog, errors, names
from cluster.client import examples, services
from cluster.client.nodes import PENDING, rejections
from cluster.client.services import ServiceStatus
from cluster.client.session import require_here, whoami
from cluster.names import Capability, ModelRef
from cluster.nodes import places
from cluster.services import desired

if TYPE_CHECKING:
    from cluster.bundles.store import ModelStore
    from cluster.client import Client
    from cluster.client.asking import Arrays, Prediction
    from cluster.job import Job

__all__ = ["Entry", "News", "Service"]
POLL_S = 0.1
NONE = "none"
"""In place of a canary or a shadow: have none any more."""
SHARE = re.compile(r"(.+)=([0-9]{1,6}(?:\.[0-9]{1,6})?) ?%")
LIMITS: Mapping[str, tuple[str, int, int]] = {
    "replicas": ("the number of replicas", 0, desired.MAX_REPLICAS),
    "max_waiting": ("the number of requests that may wait", 1, 100_000),
    "deadline_ms": ("the deadline in ms", 10, 600_000),
}
"""Field of a service -> what it is called, and its range."""
Canary = Mapping[int, float] | Sequence[str]
"""Version -> the share of requests that it gets, 0 to 1; or texts as ``office:4=10%``."""


Items = str | Path | Sequence[str | Path] | Mapping[str, bytes] | Sequence[Mapping[str, Any]]
"""A file or files; names and bytes; rows of a table."""


class News(NamedTuple):
    """How far a service is that has no ready replica yet."""

    requirement: str
    """What a node must serve to have a replica."""
    pending: Sequence[str]
    """The nodes that are fetching and trying what it needs."""
    able: Sequence[str]
    """The nodes that can have a replica."""
    problems: Mapping[str, str]
    """Node -> why it has no replica."""


class Entry:
    """A service that is about to be entered: all is checked that can be known before anything is started.

    Args:
        client: Of the cluster.
        model: NAME or NAME:VERSION; None where the job needs none.
        job: Its name; None: that of the model's bundle.
        name: The service's; None: the model's name, else the job's.
        wanted: Fields of ``desired.Service`` by name, with canary and shadow as a person gives them; those that are
            None stay as they are.
        options: The job's, without ``model``.

    Raises:
        As ``Client.serve``.
    """

    def __init__(
        self, client: Client, model: str | None, job: str | None, name: str | None, wanted: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        store, ref = client.model_store, ModelRef.typed(model) if model else None
        self._client = client
        self.job = _job(store, ref, job)
        self.name = name or (ref.name if ref else self.job.name)
        if not names.is_service(self.name):
            raise errors.UsageError(
                f"{self.name!r} cannot name a service; a name is of a-z, 0-9 and -, at most 64: give --name"
            )
        given = {"model": str(ref)} if ref else {}
        if ref and not self.job.bundles:
            raise errors.UsageError(f"the job {self.job.name} takes no model: leave {ref} out")
        if ref:
            options = {**self.job.with_bundle, **options}
        elif lacking := [name for name, value in self.job.with_bundle.items() if options.get(name) == value]:
            raise errors.UsageError(
                f"to serve with {lacking[0]}={options[lacking[0]]} name the model, too: {self.job.get_bundle}"
            )
        self.options = self.job.check_options({**options, **given})
        self.job.check_given(self.options)
        if ref:
            store.pin(self.job, self.options)  # raises where there is no such version, or one for another job
        self._model = str(ref) if ref else None
        self._asked = {name: self.options[name] for name in options}
        self._fields = _fields(store, self.job, ref, wanted)
        if client.is_private:
            require_here(client.config, self.job, self.options)
        else:
            places.require(client.stores, client.config)
            if before := desired.Services(client.stores.redis).get(self.name):
                self._require_same(before)

    @property
    def requirement(self) -> str:
        """What a node must serve to have a replica, with the version that requests get now."""
        before = desired.Services(self._client.stores.redis).get(self.name)
        return _requirement(self._client, self.job, {**(before.options if before else {}), **self._asked}, self._model)

    def enter(self, by: str = "") -> Service:
        """Enter the service, or change the one of that name; on a private cluster, a worker for it starts.

        Args:
            by: Who does; "" for the user of this process.

        Raises:
            errors.UsageError: The service of that name serves something else.
        """
        desired.Services(self._client.stores.redis).change(self.name, lambda before: self._become(before, by))
        if self._client.is_private:
            self._client.session.serve_on(self.job, self._fields.get("replicas", 1))
        return Service(self._client, self.name)

    def _become(self, before: desired.Service | None, by: str) -> desired.Service:
        if before:
            self._require_same(before)
            return before.model_copy(update={**self._fields, "options": {**before.options, **self._asked}})
        new = desired.Service(
            name=self.name, job=self.job.name, model=self._model, options=self._asked, created_by=by or whoami(),
            created_at=datetime.now(UTC),
        )  # fmt: skip
        return new.model_copy(update=self._fields)

    def _require_same(self, before: desired.Service) -> None:
        if (before.job, before.model) != (self.job.name, self._model):
            serves = f"{before.job}{f' with {before.model}' if before.model else ''}"
            raise errors.UsageError(
                f"the service {self.name} is there, and serves {serves}: give this one another --name, or end that one"
                f" (cluster services stop {self.name})"
            )


class Service:
    """A service of the cluster: ask it with ``predict`` and ``infer``. In a ``with``, it ends with that."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client
        self._has_been_ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str | None:
        """Where programs reach the gateway of this client, if it runs one."""
        return self._client.gateway_url

    def predict(
        self, items: Items, *, version: int | None = None, key: str | None = None, timeout_s: float | None = None
    ) -> Prediction:  # fmt: skip
        """Ask for items: what the job says of each.

        Waits for the first replica where none was ready before.

        Args:
            items: A file, or several; a mapping of names to bytes; or rows of a table, each a mapping of columns to
                values.
            version: Of the model; None: the one that requests get now.
            key: Decides between the current version and a canary; requests of one key get the same.
            timeout_s: How long it may take, at most the service's deadline.

        Raises:
            errors.RequestRefused: Too many wait, or no replica is there: ask again later.
            errors.RequestLate: It took longer.
            errors.RequestFailed: There is no such version, or the items cannot be used.
            errors.UsageError: A file cannot be read.
        """
        read = _read(items)
        self._wait_for_the_first()
        return self._client.asker.predict(self.name, read, version, key, timeout_s)

    def infer(
        self, arrays: Arrays, *, version: int | None = None, key: str | None = None, timeout_s: float | None = None
    ) -> Arrays:  # fmt: skip
        """Ask for what the model says of arrays; gives arrays by name, with the same rows along axis 0.

        Args:
            arrays: By name, as the model takes them, with the rows along axis 0.
            version, key, timeout_s: As for ``predict``.

        Raises:
            As ``predict``.
        """
        self._wait_for_the_first()
        return self._client.asker.infer(self.name, arrays, version, key, timeout_s)

    def _wait_for_the_first(self) -> None:
        if not self._has_been_ready:
            self.wait_until_ready()
            self._has_been_ready = True

    def status(self) -> ServiceStatus:
        """How many replicas it has and where, and what it has answered.

        Raises:
            errors.UnknownService: It was stopped.
        """
        return services.status(self._client.stores.redis, self.name)

    def example(self) -> list[dict[str, Any]] | dict[str, Any] | None:
        """What to ask it, made up: rows, or tensors ({} where those cannot be told); None where it takes pictures."""
        found, store = self.status(), self._client.model_store
        if found.model is None:
            return None
        row = examples.row(store, found.model)
        return [row] if row else examples.tensors(store, catalog.get(found.job), found.model)

    def wait_until_ready(
        self, timeout_s: float | None = None, on_wait: Callable[[News], None] = lambda news: None
    ) -> ServiceStatus:  # fmt: skip
        """Wait until a replica answers; gives the status then.

        Args:
            timeout_s: None: however long it takes.
            on_wait: Told how far it is, every tenth of a second.

        Raises:
            TimeoutError: It takes longer; the service stays.
            errors.UnknownService: It was stopped.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            found = self.status()
            if found.replicas_ready and self._client.sees_ready(self.name):
                return found
            if self._client.is_private:
                self._client.session.check(0)
            if not found.replicas_ready:
                on_wait(self._news(found))
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"the service {self.name} has no ready replica after {timeout_s} s")
            time.sleep(POLL_S)

    def scale(self, replicas: int) -> None:
        """Have the nodes run this many replicas.

        Raises:
            errors.UnknownService: It was stopped.
            errors.UsageError: The number is out of range.
        """
        what, least, most = LIMITS["replicas"]
        if not least <= replicas <= most:
            raise errors.UsageError(f"{what} is {replicas}; it must be {least} to {most}")
        redis = self._client.stores.redis
        desired.Services(redis).scale(services.require(redis, self.name).name, replicas)

    def stop(self) -> None:
        """End the service: its replicas answer what they have taken, and go. Does nothing where it was stopped."""
        desired.Services(self._client.stores.redis).remove(self.name)

    def _news(self, found: ServiceStatus) -> News:
        requirement = requirement_of(self._client, found)
        online = [node for node in self._client.nodes() if node.state == "online"]
        able = [node.name for node in online if requirement in node.jobs]
        pending = [node.name for node in online if node.missing.get(requirement) == PENDING]
        problems = {node: why for node, why in rejections(requirement, online).items() if node not in pending}
        problems |= {one.node: why for one in found.replicas for why in one.problems.values()}
        return News(_shown(requirement), pending, able, {**problems, **found.problems})


def _shown(requirement: str) -> str:
    """A requirement without the digest of its model: ``faces@office:3``."""
    found = Capability.parse(requirement)
    needs = tuple(need.without_digest if isinstance(need, ModelRef) else need for need in found.needs)
    return str(dataclasses.replace(found, needs=needs))


def requirement_of(client: Client, found: ServiceStatus) -> str:
    """What a node must serve to have a replica of a service, with the version that requests get now."""
    return _requirement(client, catalog.get(found.job), found.options, found.model)


def _requirement(client: Client, job: Job, options: Mapping[str, Any], model: str | None) -> str:
    named = {"model": model} if model else {}
    return job.requirement(client.model_store.pin(job, {**options, **named}))


def _job(store: ModelStore, ref: ModelRef | None, name: str | None) -> Job:
    """The job to serve.

    Raises:
        errors.UsageError: None is named, or it answers no single items.
    """
    if name is None:
        if ref is None:
            raise errors.UsageError("name the job to serve: --job NAME")
        name = store.manifest(str(ref)).job
    job = catalog.get(name)
    if not job.serves:
        those = ", ".join(one.name for one in catalog.jobs().values() if one.serves)
        raise errors.UsageError(f"the job {name} cannot be served: it gives no answer to a single item ({those} do)")
    return job


def _fields(store: ModelStore, job: Job, ref: ModelRef | None, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a service that were given, checked.

    Raises:
        errors.UsageError: A number is out of range; canary or shadow are of another model, or the shares are too large.
    """
    found = {key: value for key, value in wanted.items() if value is not None}
    for field, (what, least, most) in LIMITS.items():
        if field in found and not least <= found[field] <= most:
            raise errors.UsageError(f"{what} is {found[field]}; it must be {least} to {most}")
    if "canary" in found:
        found["canary"] = _shares(ref, found["canary"])
    if isinstance(found.get("shadow"), str):
        found["shadow"] = None if found["shadow"] == NONE else _version(ref, ModelRef.typed(found["shadow"]))
    shadow = found.get("shadow")
    for version in (*found.get("canary", ()), *(() if shadow is None else (shadow,))):
        if ref is None:
            raise errors.UsageError(f"the job {job.name} is served without a model, so it has no versions")
        store.pin(job, {"model": str(ModelRef(ref.name, version))})
    return found


def _shares(ref: ModelRef | None, given: Canary) -> dict[int, float]:
    """Version -> its share of the requests.

    Raises:
        errors.UsageError: A share is not 0 % to 100 %, or they are more together.
    """
    if not isinstance(given, Mapping) and list(given) == [NONE]:
        return {}
    found = dict(given.items() if isinstance(given, Mapping) else (_share(ref, text) for text in given))
    for version, share in found.items():
        if not 0 <= share <= 1:
            raise errors.UsageError(
                f"the canary version {version} is to get {share * 100:g} % of the requests; it must be 0 % to 100 %"
            )
    if sum(found.values()) > 1:
        raise errors.UsageError(f"the canaries are to get {sum(found.values()) * 100:g} % of the requests together")
    return found


def _share(ref: ModelRef | None, text: str) -> tuple[int, float]:
    found = SHARE.fullmatch(text)
    if found is None:
        raise errors.UsageError(f"{text!r} is no share of a version; write NAME:VERSION=SHARE%, as office:4=10%")
    return _version(ref, ModelRef.typed(found[1])), float(found[2]) / 100


def _version(ref: ModelRef | None, other: ModelRef) -> int:
    if ref is None or other.name != ref.name or other.version is None:
        served = f"{ref.name}:VERSION" if ref else "none: the job is served without a model"
        raise errors.UsageError(f"{other} is no version of the model that is served ({served})")
    return other.version


def _read(given: Items) -> dict[str, bytes]:
    """Name -> bytes of what is asked for.

    Raises:
        errors.UsageError: A file cannot be read, or nothing is given.
    """
    if isinstance(given, Mapping):
        found = dict(given)
    elif isinstance(given, str | Path):
        found = {str(given): _bytes(given)}
    elif all(isinstance(one, Mapping) for one in given):
        from cluster.client.asking import ROWS

        found = {ROWS: orjson.dumps(list(given))} if given else {}
    else:
        found = {str(path): _bytes(path) for path in given}  # type: ignore[arg-type]
    if not found:
        raise errors.UsageError("nothing to ask for: give files, bytes with names, or rows")
    return found


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise errors.UsageError(f"{path}: {error.strerror}") from None
