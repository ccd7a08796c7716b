"""Every structured string: built and read here, and nowhere else.

``redis_rows`` does the same for rows in Redis, ``keys`` for Redis keys and queues.

| string                                     | example                          | here |
| ------------------------------------------ | -------------------------------- | ---- |
| what a run requires, what a node serves    | ``ocr.2@deu``                    | ``Capability`` |
| a model                                    | ``office:3.1a2b3c4d``            | ``ModelRef`` |
| a chunk, a partial result                  | ``17``, ``partial 0:3``             | ``Unit``, ``Partial`` |
| a run                                      | ``ocr-1a2b3c4d``                 | ``new_run``, ``is_run`` |
| a message                                  | ``ocr-1a2b3c4d.17-20``           | ``TaskId`` |
| a checkpoint of a run                      | ``train-1a2b3c4d-round-0040``    | ``checkpoint`` |
| a node, its connection                     | ``worker@pc~2``                  | ``node``, ``connection`` |
| a service, what its requests are for       | ``office``, ``office:3``         | ``is_service``, ``Target`` |
| a replica of a service, its connection     | ``1700000000000-1a2b3c4d``       | ``Replica``, ``replica_connection`` |
| a gateway                                  | ``1a2b3c4d5e6f7a8b``             | ``new_gateway`` |
| the store of a site                        | ``1a2b3c4d5e6f``                 | ``edge`` |
| a site that nobody has named               | ``10.0.4.0-24-via-10.0.4.1``     | ``site`` |
| an upload as the input of a run            | ``upload:/data/uploads/u-1a2b3c`` | ``upload`` |

Other machines may have written anything. What ``parse`` accepts, ``str`` writes again, character by character; where
another form is no error, the docstring says so. Lua scripts read some rows, too.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit

from cluster import errors

MAX_JOB_CHARS = 55
"""Characters of a job's name at most: a run's id has 9 more, and may have 64 (``RUN``)."""
MAX_CHUNKS_PER_MESSAGE = 64
RUN = r"[a-zA-Z0-9-]{1,64}"
JOB = rf"[a-zA-Z0-9][a-zA-Z0-9-]{{0,{MAX_JOB_CHARS - 1}}}"
VERSION = r"[a-zA-Z0-9._-]*"
MODEL = r"[a-z0-9][a-z0-9-]{0,63}"
DIGEST_CHARS = 8
EDGE_CHARS = 12
_NUMBER = r"(0|[1-9][0-9]{0,9})"
_LEVEL = r"([0-9]|1[0-5])"
_CAPABILITY = re.compile(rf"({JOB})(?:\.({VERSION}))?(?:@([A-Za-z0-9_.~%+/:;-]*))?")
_MODEL_REF = re.compile(rf"({MODEL})(?::([1-9][0-9]{{0,8}})(?:\.([0-9a-f]{{{DIGEST_CHARS}}}))?)?")
_PARTIAL = re.compile(rf"{_LEVEL}:{_NUMBER}")
_TASK_ID = re.compile(rf"({RUN})\.(?:{_NUMBER}(?:-{_NUMBER})?|partial\.{_LEVEL}\.{_NUMBER})")
_SEPARATOR = ";"  # no comma: `celery worker -Q` takes several queues with these
_CONNECTION = "cluster-node-"
_UPLOAD = "upload:"
_REPLICA_CONNECTION = "cluster-replica-"
_REPLICA = re.compile(r"([0-9]{13})-([0-9a-f]{8})")
_TARGET = re.compile(rf"({MODEL})(?::([1-9][0-9]{{0,8}}))?")
GATEWAY = r"[0-9a-f]{16}"


def is_folder(text: str) -> bool:
    """Whether a model that a person names is a folder of his machine: it has a slash then, as no ``ModelRef`` has."""
    return "/" in text


def upload(folder: str) -> str:
    """An upload as the input of a run, by the path of its folder."""
    return f"{_UPLOAD}{folder}"


def parse_upload(text: str) -> str | None:
    """The folder that ``upload`` made this of; None where it names no upload."""
    return text.removeprefix(_UPLOAD) if text.startswith(_UPLOAD) else None


class ModelRef(NamedTuple):
    """A model: ``office``, a version of it, ``office:3``, or that version with its content, ``office:3.1a2b3c4d``.

    An emptied Redis gives a number again; the beginning of the content's sha256 tells the two versions apart.
    """

    name: str
    version: int | None = None
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read any of the three forms.

        Raises:
            errors.UsageError: ``text`` has another form.
        """
        found = _MODEL_REF.fullmatch(text)
        if found is None:
            raise _no_model(text)
        name, version, digest = found.groups()
        return cls(name, int(version) if version else None, digest or "")

    @classmethod
    def typed(cls, text: str) -> Self:
        """Read what a person types: ``office`` or ``office:3``.

        Raises:
            errors.UsageError: As ``parse``; also for a digest, which a person cannot know.
        """
        found = cls.parse(text)
        if found.digest:
            raise _no_model(text)
        return found

    @property
    def without_digest(self) -> Self:
        """``office:3``, as people see it."""
        return self._replace(digest="")

    def __str__(self) -> str:
        version = "" if self.version is None else f":{self.version}"
        return f"{self.name}{version}{'.' if self.digest else ''}{self.digest}"


def is_model(text: str) -> bool:
    """Whether a model may have this name, without a version."""
    return re.fullmatch(MODEL, text) is not None


def is_token(text: str) -> bool:
    """Whether a token may have this name."""
    return re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", text) is not None


Need = str | ModelRef
"""A version of a model, or the text of an option's value ("" where it is None). In a capability only a model has a bare
colon, so the two are told apart without knowing the job: a language ``office:3`` is written ``office%3A3``."""


@dataclass(frozen=True, slots=True)
class Capability:
    """A job, its version and its needs, as a node serves them: ``ocr``, ``ocr.2``, ``faces@office:3.1a2b3c4d``.

    Runs and nodes use the same form. A node serves a run if the run's ``requirement`` equals one of the node's
    ``capabilities``.

    Raises:
        ValueError: A part cannot be written; a model needs a version.
    """

    job: str
    version: str = ""
    needs: tuple[Need, ...] = ()

    def __post_init__(self) -> None:
        if _CAPABILITY.fullmatch(text := str(self)) is None or Capability._read(text) != self._parts():
            raise ValueError(f"{text!r} is no capability")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one that ``str`` wrote.

        Raises:
            ValueError: ``text`` has another form.
        """
        if _CAPABILITY.fullmatch(text) is None:
            raise ValueError(f"{text!r} is no capability")
        try:
            found = cls(*cls._read(text))
        except errors.UsageError as error:
            raise ValueError(f"{text!r} is no capability: {error}") from None
        if str(found) != text:
            raise ValueError(f"{text!r} is not how a capability is written: {found}")
        return found

    @property
    def plain(self) -> Self:
        """The job with its version alone, which needs nothing else."""
        return type(self)(self.job, self.version)

    @property
    def models(self) -> list[ModelRef]:
        """The models among its needs."""
        return [need for need in self.needs if isinstance(need, ModelRef)]

    @property
    def told(self) -> str:
        """The job and what it needs, as people see it: ``ocr with deu, tesseract``."""
        needs = [str(need.without_digest if isinstance(need, ModelRef) else need) for need in self.needs]
        wanted = ", ".join(filter(None, needs))
        return f"{self.job} with {wanted}" if wanted else self.job

    def __str__(self) -> str:
        version = f".{self.version}" if self.version else ""
        needs = _SEPARATOR.join(map(_written, self.needs))
        return f"{self.job}{version}{'@' if self.needs else ''}{needs}"

    def _parts(self) -> tuple[str, str, tuple[Need, ...]]:
        return self.job, self.version, self.needs

    @staticmethod
    def _read(text: str) -> tuple[str, str, tuple[Need, ...]]:
        head, at, needs = text.partition("@")
        job, _, version = head.partition(".")
        return job, version, tuple(map(_need, needs.split(_SEPARATOR))) if at else ()


def capabilities(texts: Iterable[str]) -> list[Capability]:
    """Read the capabilities among the texts and skip the others: a node may send any text."""
    found = []
    for text in texts:
        try:
            found.append(Capability.parse(text))
        except ValueError:
            continue
    return found


def plain(capability: str) -> str:
    """The job and its version in a capability, also where its needs cannot be read."""
    return capability.partition("@")[0]


def unversioned(capability: str) -> str:
    """The capability without the version of its job, also where its needs cannot be read: ``ocr.2@deu`` -> ``ocr@deu``.

    For people, where one version of each job is about.
    """
    head, at, needs = capability.partition("@")
    return f"{head.partition('.')[0]}{at}{needs}"


class Partial(NamedTuple):
    """The parts of a batch joined (level 0), or neighbouring partials of the level below: ``partial 0:3``."""

    level: int
    number: int

    @classmethod
    def parse_field(cls, text: str) -> Self:
        """Read ``field``.

        Raises:
            ValueError: ``text`` has another form.
        """
        found = _PARTIAL.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no partial result")
        return cls(int(found[1]), int(found[2]))

    @property
    def field(self) -> str:
        """As it stands among partials alone: ``0:3``."""
        return f"{self.level}:{self.number}"

    def __str__(self) -> str:
        return f"partial {self.field}"


Unit = int | Partial
"""The unit of work, claimed and retried by itself: a chunk or a partial result. ``str`` writes it."""


def unit(text: str) -> Unit:
    """Read a chunk (``17``) or a partial result (``partial 0:3``).

    Raises:
        ValueError: ``text`` is neither.
    """
    if text.startswith("partial "):
        return Partial.parse_field(text.removeprefix("partial "))
    if re.fullmatch(_NUMBER, text) is None:
        raise ValueError(f"{text!r} is neither a chunk nor a partial result")
    return int(text)


def described(unit: Unit | str) -> str:
    """Write a unit for people: ``chunk 17``, ``partial 0:3``. A ``str`` is the ledger's text of one, in any form."""
    return str(unit) if isinstance(unit, Partial) or str(unit).startswith("partial") else f"chunk {unit}"


def piece(chunk: int, item: int) -> str:
    """Which item of a chunk that is done item by item: ``17:0``. Lua reads it."""
    return f"{chunk}:{item}"


def new_run(job: str) -> str:
    """An id that no other run has."""
    return f"{job}-{secrets.token_hex(4)}"


def checkpoint(run: str, rounds: int) -> str:
    """The name of the folder with the model of a run after so many rounds; those of a run sort by these."""
    return f"{run}-round-{rounds:04}"


def is_run(text: str) -> bool:
    """Whether a run may have this id. Files are removed by ids, and anything may stand where ids are read."""
    return re.fullmatch(RUN, text) is not None


class TaskId(NamedTuple):
    """The id of a Celery message: ``RUN.17``, ``RUN.17-20`` for neighbouring chunks, ``RUN.partial.0.3``.

    It names one chunk or more, the first and the last being the ends of a range, or one partial result.
    """

    run: str
    units: tuple[Unit, ...]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read one; None for another's id."""
        found = _TASK_ID.fullmatch(text)
        if found is None:
            return None
        run, first, last, level, number = found.groups()
        if level is not None:
            return cls(run, (Partial(int(level), int(number)),))
        chunks = range(int(first), int(last or first) + 1)
        if not 0 < len(chunks) <= MAX_CHUNKS_PER_MESSAGE or (last and len(chunks) == 1):
            return None
        return cls(run, tuple(chunks))

    @staticmethod
    def run_of(text: str) -> str:
        """The run that a message is about; "" for another's id."""
        found = _TASK_ID.fullmatch(text)
        return found[1] if found else ""

    def __str__(self) -> str:
        first, last = self.units[0], self.units[-1]
        if isinstance(first, Partial):
            return f"{self.run}.partial.{first.level}.{first.number}"
        return f"{self.run}.{first}" + (f"-{last}" if last != first else "")


def node(worker: str, host: str) -> str:
    """A node: ``worker@pc``."""
    return f"{worker}@{host}"


def renamed(node: str, number: int) -> str:
    """A node whose name other machines have, too: ``worker@pc~2``; the name itself for number 1."""
    return node if number == 1 else f"{node}~{number}"


def shown_task(job: str, *, joins: bool = False) -> str:
    """Return a task's name as Flower, events and logs show it: ``cluster.ocr``, ``cluster.ocr.aggregate``."""
    return f"cluster.{job}{'.aggregate' if joins else ''}"


def queue_typed_before(text: str) -> str:
    """The job in a queue as older versions named it, ``cluster.ocr``; "" for any other text."""
    return text.removeprefix("cluster.") if text.startswith("cluster.") else ""


def person(user: str, host: str) -> str:
    """Write the user who types a command: ``anna@pc``."""
    return f"{user}@{host}"


def process(host: str, pid: int) -> str:
    """A submitter or a coordinator, for people: ``pc:4711``."""
    return f"{host}:{pid}"


def parse_process(text: str) -> tuple[str, int | None]:
    """Read the machine and the process that ``process`` wrote; of another text, the text and None."""
    host, _, pid = text.rpartition(":")
    return (host, int(pid)) if re.fullmatch(_NUMBER, pid) else (text, None)


def connection(incarnation: str) -> str:
    """How a node names its connections to Redis."""
    return _CONNECTION + incarnation


def incarnation_of(connection: str) -> str:
    """Read the incarnation of a node from its connection's name; "" for the name of any other connection."""
    return connection.removeprefix(_CONNECTION) if connection.startswith(_CONNECTION) else ""


def is_service(text: str) -> bool:
    """Whether a service may have this name."""
    return re.fullmatch(MODEL, text) is not None


class Target(NamedTuple):
    """What a request is for: a service and a version of its model, ``office:3``; ``ocr`` where it has no model."""

    service: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: ``text`` has another form.
        """
        found = _TARGET.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is neither a service nor a version of one")
        return cls(found[1], int(found[2]) if found[2] else None)

    def __str__(self) -> str:
        return self.service if self.version is None else f"{self.service}:{self.version}"


class Replica(NamedTuple):
    """A replica of a service: the moment when it was begun, and chance. In the order of texts the oldest is first."""

    since_ms: int
    """Since 1970, by Redis's clock."""
    chance: str

    @classmethod
    def begun(cls, since_ms: int) -> Self:
        """An id that no other replica has."""
        return cls(since_ms, secrets.token_hex(4))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: ``text`` has another form.
        """
        found = _REPLICA.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no replica")
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.since_ms:013}-{self.chance}"


def replica_connection(replica: str) -> str:
    """How a replica names its connections to Redis."""
    return _REPLICA_CONNECTION + replica


def replica_of(connection: str) -> str:
    """Read the replica from its connection's name; "" for the name of any other connection."""
    return connection.removeprefix(_REPLICA_CONNECTION) if connection.startswith(_REPLICA_CONNECTION) else ""


def ring_place(site: str) -> str:
    """The place of nodes that do their shards together, as chunks have one: those of a site that let others connect."""
    return f"ring:{site}"


def edge(url: str) -> str:
    """The digest of the address of a site's store, 12 hexadecimal digits: the same whatever user and password say.

    An address that means another machine on each machine, as ``localhost``, counts with the name of this one.
    """
    said = urlsplit(url)
    host = (said.hostname or "localhost").lower()
    if host in ("localhost", "::1") or host.startswith("127."):
        host = f"{host}%{socket.gethostname()}"
    place = f"{said.scheme}://{host}:{said.port or 6379}/{said.path.strip('/') or 0}"
    return hashlib.sha256(place.encode()).hexdigest()[:EDGE_CHARS]


def site(network: str, prefix: int | None = None, gateway: str = "") -> str:
    """The name of a site that nobody has named: its network with the way out of it."""
    via = f"-via-{gateway}" if gateway else ""
    return (f"{network}-{prefix}{via}" if prefix is not None else network).replace(":", "-")


def new_gateway() -> str:
    """An id that no other gateway has."""
    return secrets.token_hex(8)


def is_gateway(text: str) -> bool:
    """Whether ``new_gateway`` could have made this name."""
    return re.fullmatch(GATEWAY, text) is not None


def gateway_connection(gateway: str) -> str:
    """How a gateway names its connections to Redis."""
    return f"cluster-gateway-{gateway}"


def entered_ms(entry: str) -> int:
    """When an entry of a Redis stream was made, in milliseconds since 1970: its id begins so.

    Raises:
        ValueError: It is no such id.
    """
    return milliseconds(entry.partition("-")[0])


def entry(at_ms: int) -> str:
    """The id of an entry of a Redis stream that is older than all that were made since a moment."""
    return f"{at_ms}-0"


def milliseconds(text: str) -> int:
    """Read a moment in milliseconds, or seconds, since 1970.

    Raises:
        ValueError: It is none.
    """
    if re.fullmatch(r"[0-9]{1,17}", text) is None:
        raise ValueError(f"{text!r} is no moment")
    return int(text)


def _no_model(text: str) -> errors.UsageError:
    return errors.UsageError(
        f"{text!r} names no bundle; write NAME or NAME:VERSION, as office or office:3"
        " (a name is of a-z, 0-9 and -, at most 64)"
    )


def _written(need: Need) -> str:
    return str(need) if isinstance(need, ModelRef) else quote(need, safe="+/")


def _need(text: str) -> Need:
    return ModelRef.parse(text) if ":" in text else unquote(text)
