"""The messages between gateways and replicas, as MessagePack; each field is checked where it is read.

A request, in the list ``keys.requests(target)``::

    [id, gateway, deadline_ms, kind, name, payload, shapes]

The shapes of tensors are MessagePack by themselves, ``[[input, dtype, shape], …]``: most requests for a model have the
same ones, so each is checked once. They are empty for an item. A payload of over ``INLINE_BYTES`` lies under
``keys.payload(gateway, id)``, with the deadline as its end, and the message has its size in its place. A replica
answers all requests of a batch that came by one gateway in one message, in the list ``keys.answers(gateway)``::

    [version, [[id, status, body], …], took_us]

These messages carry work, unlike those of runs, and nothing is kept of them: a request lives in its gateway.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import msgpack

from cluster import keys, names
from cluster.wire import BadMessage

INLINE_BYTES = 256 * 1024
MAX_PAYLOAD_BYTES = 64 * 2**20
MAX_MESSAGE_BYTES = INLINE_BYTES + 40 * 1024
MAX_ANSWERS_BYTES = 128 * 2**20
"""Of one message with answers."""
MAX_ANSWER_BYTES = MAX_ANSWERS_BYTES - 4 * 2**20
"""Of the values of one message: there are names and shapes besides."""
MAX_NAME_CHARS = 4096
MAX_PROBLEM_CHARS = 2000
MAX_DIMENSIONS = 8
MAX_TENSORS = 64
MAX_SHAPES_BYTES = 16 * 1024
KNOWN_SHAPES = 256
KEEP_S = 60
"""Seconds that a list of requests or of answers is kept after the last was put there."""
ITEM_BYTES = {
    "bool": 1, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "int8": 1, "int16": 2, "int32": 4, "int64": 8,
    "float16": 2, "float32": 4, "float64": 8,
}  # fmt: skip
"""Kinds of numbers, as NumPy calls them -> bytes of one; little-endian on the wire."""
OK, UNREADABLE, FAILED, UNAVAILABLE, LATE = 200, 422, 500, 503, 504
STATUSES = frozenset((OK, UNREADABLE, FAILED, UNAVAILABLE, LATE))
Kind = Literal["item", "tensor"]
_GATEWAY = re.compile(names.GATEWAY)
_MOST_MS = 2**53


class Shape(NamedTuple):
    """What is said of one array whose bytes stand elsewhere."""

    name: str
    dtype: str
    """See ``ITEM_BYTES``."""
    shape: tuple[int, ...]
    """The first dimension is the rows, at least 1."""

    @property
    def size_bytes(self) -> int:
        """The bytes that such an array has."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


class Request(NamedTuple):
    """One request: an item of the job, or the arrays of its ``infer``."""

    id: int
    """Counted by its gateway; a request that is sent again keeps it."""
    gateway: str
    deadline_ms: int
    """Since 1970, by Redis's clock."""
    kind: Kind
    name: str
    """The item's; "" with tensors."""
    payload: bytes | int
    """The bytes; or their number, where they lie under ``payload_key``. Those of several tensors one after the other,
    each in C order, little-endian."""
    tensors: tuple[Shape, ...] = ()
    """The arrays in the payload; they have as many rows each."""

    @property
    def payload_key(self) -> str:
        """Where the payload lies if it is not in the message."""
        return keys.payload(self.gateway, self.id)

    @property
    def size_bytes(self) -> int:
        """How many bytes the payload has."""
        return self.payload if isinstance(self.payload, int) else len(self.payload)

    def pack(self) -> bytes:
        """As it is sent: see ``referring`` for one with a large payload."""
        packed: bytes = msgpack.packb((*self[:6], _packed(self.tensors) if self.tensors else b""))
        return packed

    def referring(self) -> Request:
        """The same without its payload, which is to be put under ``payload_key`` first."""
        return self._replace(payload=self.size_bytes)

    @classmethod
    def unpack(cls, data: bytes) -> Request:
        """Read one, and see that its shape fits its bytes.

        Raises:
            BadMessage: It is none.
        """
        if len(data) > MAX_MESSAGE_BYTES:
            raise BadMessage(f"a request has {len(data):,} bytes; the limit is {MAX_MESSAGE_BYTES:,}")
        fields = _unpacked(data, list, "a request")
        if len(fields) != 7:
            raise BadMessage(f"a request has {len(fields)} fields, not 7")
        id_, gateway, deadline_ms, kind, name, payload, tensors = fields
        if not (type(id_) is int and 0 <= id_ < 2**63):
            raise BadMessage("a request has no number")
        if not (type(gateway) is str and _GATEWAY.fullmatch(gateway)):
            raise BadMessage("a request names no gateway")
        if not (type(deadline_ms) is int and 0 < deadline_ms < _MOST_MS):
            raise BadMessage("a request has no deadline")
        if not (type(name) is str and len(name) <= MAX_NAME_CHARS):
            raise BadMessage("a request has no name")
        if type(payload) is bytes:
            size = len(payload)
        elif type(payload) is int and 0 <= payload <= MAX_PAYLOAD_BYTES:
            size = payload
        else:
            raise BadMessage("a request has no payload, or one over the limit")
        if type(tensors) is not bytes:
            raise BadMessage("a request has no shapes")
        if kind == "tensor":
            shapes, wanted = _shapes(tensors)
            if wanted != size:
                raise BadMessage(f"tensors of these shapes have {wanted:,} bytes, not {size:,}")
            return cls(id_, gateway, deadline_ms, kind, name, payload, shapes)
        if kind != "item":
            raise BadMessage(f"{str(kind)[:20]!r} is no kind of request")
        if tensors:
            raise BadMessage("an item has no tensors")
        return cls(id_, gateway, deadline_ms, kind, name, payload)


class Tensor(NamedTuple):
    """A named array of an answer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes
    """In C order, little-endian."""


class Answer(NamedTuple):
    """The answer to one request."""

    id: int
    status: int
    """One of ``STATUSES``, as HTTP means it. ``UNREADABLE``: this item cannot be done; the problem says why."""
    value: bytes | tuple[Tensor, ...] = b""
    """JSON of the item's value, or the arrays that ``infer`` gave."""
    problem: str = ""
    """Why there is no value, as a sentence."""
    version: int | None = None
    """Of the model that answered."""

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.status == OK


def pack_answers(version: int | None, answers: Iterable[Answer], took_us: int = 0) -> bytes:
    """The answers of a batch to one gateway, all by one version; the replica worked on the batch for ``took_us``."""
    bodies = [(one.id, one.status, one.value if one.status == OK else one.problem) for one in answers]
    packed: bytes = msgpack.packb((version, bodies, took_us))
    return packed


def pack_all(version: int | None, answers: Iterable[Answer], took_us: int = 0) -> list[bytes]:
    """The same as messages that a gateway takes; an answer that alone is too large becomes one that says so."""
    found, portion, size = [], list[Answer](), 0
    for answer in answers:
        its_bytes = sum(len(one.data) for one in answer.value) if type(answer.value) is tuple else len(answer.value)
        if its_bytes > MAX_ANSWER_BYTES:
            why = f"the answer has {its_bytes:,} bytes; the limit is {MAX_ANSWER_BYTES:,}: ask for fewer rows at a time"
            answer, its_bytes = Answer(answer.id, FAILED, b"", why, version), 0
        if portion and size + its_bytes > MAX_ANSWER_BYTES:
            found.append(pack_answers(version, portion, took_us))
            portion, size = [], 0
        portion.append(answer)
        size += its_bytes
    return [*found, pack_answers(version, portion, took_us)]


def unpack_answers(data: bytes) -> list[Answer]:
    """Read the answers alone; see ``unpack_batch``."""
    return unpack_batch(data)[0]


def unpack_batch(data: bytes) -> tuple[list[Answer], int]:
    """Read answers, and how many microseconds the replica worked on their batch, 0 where it does not say.

    Raises:
        BadMessage: One is no answer; then none of them counts.
    """
    if len(data) > MAX_ANSWERS_BYTES:
        raise BadMessage(f"answers have {len(data):,} bytes; the limit is {MAX_ANSWERS_BYTES:,}")
    fields = _unpacked(data, list, "answers")
    if len(fields) != 3 or type(fields[1]) is not list:
        raise BadMessage("answers are of another form")
    version, rows, took_us = fields
    if not (type(took_us) is int and 0 <= took_us < _MOST_MS):
        raise BadMessage("answers do not say how long they took")
    if not (version is None or (type(version) is int and 0 < version < 10**9)):
        raise BadMessage("answers name no version")
    return [_answer(row, version) for row in rows], took_us


def shape_of(name: Any, dtype: Any, shape: Any) -> Shape:
    """What is said of an array, checked.

    Raises:
        BadMessage: It is nothing of the kind, or no array is so large.
    """
    if type(name) is not str or len(name) > MAX_NAME_CHARS:
        raise BadMessage("a tensor has no name")
    item_bytes = ITEM_BYTES.get(dtype) if type(dtype) is str else None
    if item_bytes is None:
        raise BadMessage(f"{str(dtype)[:20]!r} is no kind of number (there are: {', '.join(ITEM_BYTES)})")
    if type(shape) not in (list, tuple) or not 0 < len(shape) <= MAX_DIMENSIONS:
        raise BadMessage(f"a tensor has 1 to {MAX_DIMENSIONS} dimensions")
    for side in shape:
        if not (type(side) is int and 0 < side < 2**31):
            raise BadMessage(f"{str(side)[:20]} is no size of a dimension")
    return Shape(name, dtype, tuple(shape))


@functools.lru_cache(maxsize=KNOWN_SHAPES)
def _packed(tensors: tuple[Shape, ...]) -> bytes:
    packed: bytes = msgpack.packb(tensors)
    return packed


@functools.lru_cache(maxsize=KNOWN_SHAPES)
def _shapes(data: bytes) -> tuple[tuple[Shape, ...], int]:
    """The arrays of a request, and the bytes that they have together."""
    if len(data) > MAX_SHAPES_BYTES:
        raise BadMessage(f"the shapes of a request have {len(data):,} bytes; the limit is {MAX_SHAPES_BYTES:,}")
    rows = _unpacked(data, list, "the shapes of a request")
    if not 0 < len(rows) <= MAX_TENSORS:
        raise BadMessage(f"a request has 1 to {MAX_TENSORS} tensors")
    if any(type(row) is not list or len(row) != 3 for row in rows):
        raise BadMessage("a tensor has another form")
    shapes = tuple(shape_of(*row) for row in rows)
    if len({one.shape[0] for one in shapes}) > 1 or len({one.name for one in shapes}) < len(shapes):
        raise BadMessage("the tensors of a request have as many rows each, and names of their own")
    return shapes, sum(one.size_bytes for one in shapes)


def _answer(row: Any, version: int | None) -> Answer:
    if type(row) is not list or len(row) != 3:
        raise BadMessage("an answer has another form")
    id_, status, body = row
    if not (type(id_) is int and 0 <= id_ < 2**63):
        raise BadMessage("an answer has no number")
    if type(status) is not int or status not in STATUSES:
        raise BadMessage("an answer has no status")
    if status != OK:
        if type(body) is not str or len(body) > MAX_PROBLEM_CHARS:
            raise BadMessage("an answer does not say what is wrong")
        return Answer(id_, status, b"", body, version)
    if type(body) is bytes:
        return Answer(id_, status, body, "", version)
    if type(body) is not list or not 0 < len(body) <= MAX_TENSORS:
        raise BadMessage("an answer has no value")
    return Answer(id_, status, tuple(map(_tensor, body)), "", version)


def _tensor(row: Any) -> Tensor:
    if type(row) is not list or len(row) != 4:
        raise BadMessage("a tensor has another form")
    name, dtype, shape, data = row
    said = shape_of(name, dtype, shape)
    if type(data) is not bytes or len(data) != said.size_bytes:
        raise BadMessage(f"a tensor of shape {list(shape)} and {dtype} has {said.size_bytes:,} bytes, not those")
    return Tensor(*said, data)


def _unpacked(data: bytes, kind: type, what: str) -> Any:
    try:
        found = msgpack.unpackb(data)
    except (msgpack.UnpackException, ValueError, TypeError) as error:
        raise BadMessage(f"{what} cannot be read: {error}") from None
    if type(found) is not kind:
        raise BadMessage(f"{what} cannot be read: a {type(found).__name__}")
    return found
