"""The messages that the broker may carry. Each is checked and written anew before kombu or Celery reads it.

Celery uses headers as they come, in a worker's main process: a ``timelimit`` of words ends the worker, a
``compression`` unpacks to any size, nested JSON ends in a ``RecursionError``. So Celery sees only what stands in the
models below. Other headers are left out, whatever a later Celery would make of them.

| kind  | from                                | for                            |
| ----- | ----------------------------------- | ------------------------------ |
| task  | a capability's queue                | workers: do chunks, join parts |
| asked | pub/sub, ``celery.pidbox``          | workers: remote control        |
| event | pub/sub, ``celeryev``               | Flower, ``celery events``      |
| reply | a list, ``*.reply.celery.pidbox``   | the program that asked         |
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from cluster import keys, names
from cluster.wire import AGGREGATE, MAP, AggregateMessage, MapMessage
from cluster.wire import BadMessage as BadMessage

KiB = 2**10
MOST_TASK_BYTES = 64 * KiB
"""Ours have 2.4 KiB at most, with 64 chunks."""
MOST_ASKED_BYTES = 1024 * KiB
"""A message may name each node of the cluster."""
MOST_REPLY_BYTES = 8 * 1024 * KiB
"""A reply to ``celery inspect`` holds all messages of a node, or its settings."""
REPLIES = ".reply.celery.pidbox"
"""How the name of a queue for replies ends."""
MOST_LOST = 2
"""After this number of nodes were lost while they held a message, no other node gets it."""
MOST_LIMIT_S = 10 * 365 * 24 * 3600
"""No run needs more; a pool's timers know no infinity."""
MOST_REASON_CHARS = 200

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,160}$")]
"""An id: of a task, a group, a message, a queue for replies."""
Name = Annotated[str, Field(min_length=1, max_length=300)]
QueueName = Annotated[str, Field(min_length=1, max_length=4 * KiB)]
Shown = Annotated[str, Field(max_length=4 * KiB)]
ShownAs = Annotated[str, Field(pattern=r"^cluster\.[A-Za-z0-9.-]{1,100}$")]
"""A task's name for people: that of its job."""
Seconds = Annotated[int | float, Field(gt=0, le=MOST_LIMIT_S, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Moment = Annotated[int | float, Field(ge=0, lt=2**53, allow_inf_nan=False)]
Nothing = Annotated[list[JsonValue], Field(max_length=0)] | None
NoWords = Annotated[dict[str, JsonValue], Field(max_length=0)]
Headers = TypeVar("Headers")
Delivered = TypeVar("Delivered")


class Model(BaseModel):
    """Keeps what it names, as it came, and leaves out the rest."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Plain(Model):
    """No header makes kombu unpack anything."""

    compression: None = None


def _is_ours(task: str) -> str:
    """See that a task is one of the two there are.

    Raises:
        ValueError: It is not; the message says so where an older version published it.
    """
    if task in (MAP, AGGREGATE):
        return task
    if re.fullmatch(rf"cluster\.{names.JOB}(\.fold)?", task):
        raise ValueError(f"{task} is a task of an older version of cluster: its run goes on with nodes of that version")
    raise ValueError("it is no task of this cluster")


Task = Annotated[str, Field(max_length=200), AfterValidator(_is_ours)]


class TaskHeaders(Plain):
    """The headers that Celery's main process reads of a task."""

    task: Task
    shadow: ShownAs | None = None
    id: Word
    root_id: Word | None = None
    parent_id: Word | None = None
    group: Word | None = None
    group_index: Count | None = None
    retries: Count = 0
    timelimit: tuple[Seconds | None, Seconds | None] | None = None
    eta: None = None
    """A moment by another node's clock; ours are sent for later by ``messaging.delays``."""
    expires: None = None
    ignore_result: bool | None = None
    argsrepr: Shown = ""
    kwargsrepr: Shown = ""
    redelivered: bool = False
    lost: Annotated[int, Field(ge=0, le=MOST_LOST)] = 0
    """How many nodes were lost that held this message. Ours, for ``QoS.restore_by_tag``."""


class ToQueue(Model):
    """Where a task's message was sent to, and goes again when it is put back."""

    exchange: Literal[""]
    routing_key: QueueName
    redelivered: bool = False


class ToExchange(Model):
    """Where any other message was sent to."""

    exchange: Name
    routing_key: Annotated[str, Field(max_length=300)]


class Properties(Model, Generic[Delivered]):
    """The properties of a message that kombu reads."""

    correlation_id: Word | None = None
    reply_to: Word | None = None
    delivery_mode: int = 2
    delivery_info: Delivered
    priority: Annotated[int, Field(ge=0, le=9)] = 0
    body_encoding: Literal["base64"]
    delivery_tag: Word


class Envelope(Model, Generic[Headers, Delivered]):
    """A message as it lies in Redis."""

    body: str
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    headers: Headers
    properties: Properties[Delivered]


class JoinOptions(Model):
    """How the message that aggregates a batch is sent once its chunks are done."""

    task_id: Word
    queue: QueueName
    shadow: ShownAs | None = None
    time_limit: Seconds | None = None
    soft_time_limit: Seconds | None = None
    ignore_result: bool | None = None
    reply_to: Word | None = None
    group_id: Word | None = None
    root_id: Word | None = None
    parent_id: Word | None = None


class Join(Model):  # type: ignore[no-redef]
    """A chord's body."""

    task: Task
    args: tuple[AggregateMessage]
    kwargs: NoWords
    options: JoinOptions
    subtask_type: None = None
    immutable: Literal[True]
    chord_size: Count | None = None


class Embedded(Model):
    """The tasks that follow once a task has ended."""

    callbacks: Nothing = None
    errbacks: Nothing = None
    chain: Nothing = None
    chord: Join | None = None


class AskedHeaders(Plain):
    """No clock: nobody needs it, and one that is far ahead would be passed on for ever."""

    expires: Moment | None = None


class ReplyTo(Model):
    """The queue for replies to a question."""

    exchange: Literal["reply.celery.pidbox"]
    routing_key: Word


class Asked(Model):
    """A command of remote control. Which ones there are, and with what arguments, ``worker.control`` says."""

    method: Annotated[str, Field(pattern="^[a-z_]{1,64}$")]
    arguments: Annotated[dict[str, JsonValue], Field(max_length=16)] | None = None
    destination: list[Name] | None = None
    pattern: None = None
    """A regular expression that somebody else wrote may take for ever."""
    matcher: None = None
    ticket: Word | None = None
    reply_to: ReplyTo | None = None


class EventHeaders(Plain):
    """The headers of an event: the node that sends it."""

    hostname: Name | None = None


class Event(BaseModel):
    """The fields that Flower's process reads of each event; it only shows the others."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    type: Annotated[str, Field(pattern="^[a-z]+-[a-z-]{1,60}$")]
    hostname: Name
    timestamp: Moment
    utcoffset: Annotated[int | float, Field(ge=-48, le=48)] = 0
    pid: Count = 0
    clock: Count = 0
    uuid: Name | None = None
    name: Name | None = None
    retries: Count | None = None
    runtime: Moment | None = None
    freq: Moment | None = None
    active: Count | None = None
    processed: Count | None = None


class ReplyHeaders(AskedHeaders):
    """Which question it answers."""

    ticket: Word | None = None


class About(NamedTuple):
    """A task's message that a node held."""

    message: dict[str, Any]
    """The message in the form in which kombu puts it back."""
    queue: str
    id: str
    lost: int
    """How many nodes were lost that held it."""


TaskEnvelope = Envelope[TaskHeaders, ToQueue]
_task = TypeAdapter(TaskEnvelope)
_noted = TypeAdapter(tuple[TaskEnvelope, Literal[""], QueueName])
_of_map = TypeAdapter(tuple[tuple[MapMessage], NoWords, Embedded])
_of_aggregate = TypeAdapter(tuple[tuple[AggregateMessage], NoWords, Embedded])
Kind = tuple[TypeAdapter[Any], TypeAdapter[Any]]
_asked: Kind = TypeAdapter(Envelope[AskedHeaders, ToExchange]), TypeAdapter(Asked)
_event: Kind = TypeAdapter(Envelope[EventHeaders, ToExchange]), TypeAdapter(Event | list[Event])
_reply: Kind = TypeAdapter(Envelope[ReplyHeaders, ToExchange]), TypeAdapter(dict[Name, JsonValue])


def task(raw: bytes, queue: str) -> bytes:
    """A task's message that came by ``queue``, checked.

    Raises:
        BadMessage: It is not one that ``messaging.publish`` publishes.
    """
    return _dumped(_task, _of_task(_read(_task, raw, MOST_TASK_BYTES), queue))


def noted(raw: bytes) -> About:
    """Read and check the note about a task's message that a node holds.

    Raises:
        BadMessage: It is no note that ``QoS.append`` writes.
    """
    found, _, queue = _read(_noted, raw, MOST_TASK_BYTES)
    if queue.startswith(keys.OURS):
        raise BadMessage(f"it came by {_short(queue)}, which is no queue")
    checked = _of_task(found, queue)
    message = checked.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return About(message, queue, checked.headers.id, checked.headers.lost)


def heard(raw: bytes, exchange: str) -> bytes:
    """A command or an event that came by pub/sub, checked.

    Raises:
        BadMessage: It is not one that Celery sends.
    """
    envelope, inner = _asked if exchange.endswith(".pidbox") else _event
    return _with_body(envelope, inner, raw, MOST_ASKED_BYTES)


def reply(raw: bytes) -> bytes:
    """A node's answer, checked.

    Raises:
        BadMessage: It is not one that Celery sends.
    """
    envelope, inner = _reply
    return _with_body(envelope, inner, raw, MOST_REPLY_BYTES)


def _of_task(found: Envelope[TaskHeaders, ToQueue], queue: str) -> Envelope[TaskHeaders, ToQueue]:
    sent_to = found.properties.delivery_info.routing_key
    if sent_to != queue and not keys.capability_of(sent_to):  # another capability's it may be: it goes there again
        raise BadMessage(f"it came by {_short(queue)} and says that it was sent to {_short(sent_to)}")
    joins = found.headers.task == AGGREGATE
    kind: TypeAdapter[Any] = _of_aggregate if joins else _of_map
    body = _read(kind, _decoded(found.body), MOST_TASK_BYTES, "body")
    join = body[2].chord
    if join is not None and (joins or join.options.queue != sent_to or join.task != AGGREGATE):
        raise BadMessage("its chord does not join the parts of its batch")
    return found.model_copy(update={"body": _encoded(kind, body)})


def _with_body(envelope: TypeAdapter[Any], inner: TypeAdapter[Any], raw: bytes, most_bytes: int) -> bytes:
    found = _read(envelope, raw, most_bytes)
    body = _read(inner, _decoded(found.body), most_bytes, "body")
    return _dumped(envelope, found.model_copy(update={"body": _encoded(inner, body)}))


def _read(kind: TypeAdapter[Any], raw: bytes, most_bytes: int, where: str = "") -> Any:
    if len(raw) > most_bytes:
        raise BadMessage(f"it has {len(raw):,} bytes; the limit is {most_bytes:,}")
    try:
        return kind.validate_json(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        at = ".".join(map(str, (*([where] if where else ()), *problem["loc"])))
        raise BadMessage(_short(f"{at}: {problem['msg']}" if at else problem["msg"])) from None


def _dumped(kind: TypeAdapter[Any], found: Any) -> bytes:
    # A field that was not given is left out: to Celery that differs from its default.
    return kind.dump_json(found, by_alias=True, exclude_unset=True)


def _decoded(body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadMessage(f"body: {error}") from None


def _encoded(kind: TypeAdapter[Any], body: Any) -> str:
    return base64.b64encode(_dumped(kind, body)).decode()


def _short(text: str) -> str:
    return text if len(text) <= MOST_REASON_CHARS else f"{text[:MOST_REASON_CHARS]}…"
