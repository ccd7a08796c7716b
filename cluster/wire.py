"""Data between machines, and its limits: packed values and the messages of the broker."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, NamedTuple, Self

import msgpack
import orjson
import zstandard
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cluster import names

MAP = "cluster.map"
AGGREGATE = "cluster.aggregate"
"""The Celery tasks, of all jobs: one does chunks, the other joins their parts."""
COMPRESS_FROM_BYTES = 512
HURRY_FROM_BYTES = 2**20
"""From there on compressing takes long enough to be done in half the time, for some 5 % more bytes."""
DEFAULT_MAX_BYTES = 256 * 2**20
LEAST_PART_BYTES = 16 * 2**20
"""Limit of a part in bytes, before compression, for a chunk of any size."""
PART_SHARE = 64
"""A part may have 64 times the bytes of its chunk, where that is more."""
ELEMENT_BYTES = 16
"""A value may have one element of a list or a mapping for each 16 bytes of its size limit: an empty mapping is one
byte as MessagePack and some 80 in Python."""
LEAST_ELEMENTS, MOST_ELEMENTS = 2**16, 2**22
RAW, ZSTD = b"\0", b"\1"


class BadMessage(ValueError):
    """Bytes from another machine that are not what we send."""


def _refuse_repeats(chunks: list[int]) -> list[int]:
    if len(set(chunks)) < len(chunks):
        raise ValueError("a chunk is named twice")
    return chunks


class MapMessage(BaseModel):
    """Do some chunks. All it names stands in the ledger: a message that is replayed or forged changes nothing."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    run: str = Field(pattern=f"^{names.RUN}$")
    chunks: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]],
        Field(min_length=1, max_length=names.MAX_CHUNKS_PER_MESSAGE),
        AfterValidator(_refuse_repeats),
    ]


class AggregateMessage(BaseModel):
    """Join the parts of a batch (level 0), or ``FAN_IN`` neighbouring partials of the level below."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    run: str = Field(pattern=f"^{names.RUN}$")
    level: int = Field(ge=0, lt=16)
    number: int = Field(ge=0, lt=2**31)


class Expected(BaseModel):
    """The ledger's record of a chunk until its batch is aggregated; the part is checked against it."""

    model_config = ConfigDict(strict=True, frozen=True)

    names: list[str]
    part_bytes: int = Field(ge=0)

    def pack(self) -> bytes:
        """As kept in the ledger."""
        return pack([self.names, self.part_bytes])

    @classmethod
    def unpack(cls, data: bytes) -> Expected:
        """Back from the ledger.

        Raises:
            BadMessage: It was not written by ``pack``.
        """
        try:
            names, part_bytes = unpack(data)
            return cls(names=names, part_bytes=part_bytes)
        except (TypeError, ValueError) as error:
            raise BadMessage(f"what the ledger expects of this chunk cannot be read: {error}") from None


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Number = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Bytes = Annotated[int, Field(strict=True, ge=0)]


class View(NamedTuple):
    """One version of what nodes read of a run's state, and the address of its only blob: see ``keys.view_scope``."""

    version: Number
    whole: Annotated[bool, Field(strict=True)]
    """It stands for itself. Any other goes on top of the version before."""
    sha256: Sha256
    size_bytes: Bytes


class Note(NamedTuple):
    """A part of a shard that lies in the store of a site, until it is joined there with others."""

    shard: Number
    sha256: Sha256
    size_bytes: Bytes


class Ring(NamedTuple):
    """Shards of a round that nodes of one site do together, see ``tasks.Seat``."""

    site: str
    shards: list[Number]
    """In the order of the seats."""


class TurnEntry(BaseModel):
    """What the ledger tells a node of a chunk that is a shard's turn in a round; see ``tasks.Turn``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    round: Number
    shard: Number
    """Counted from 0; ``Rounds.shard(run, shard + 1)`` has its items."""
    shards: Number = Field(ge=1)
    kind: str
    seconds: float | None = Field(ge=0, allow_inf_nan=False)
    """Seconds to work for; None where an option says how many steps."""
    base: str
    """Names the last of ``views``."""
    views: list[View]
    """The last whole one and those that came after it, in their order."""
    edges: list[str] = []
    """Stores of sites (``names.edge``): a node that has one of them puts its part there, and commits a ``Note``."""
    notes: list[Note] | None = None
    """The chunk is no turn: it joins these parts, which lie in the store of its place; ``shard`` is the first one's."""

    ring: Ring | None = None
    """The shards with which a node does this one together, if it is of their site and its owner allows that."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.shard >= self.shards:
            raise ValueError(f"it is shard {self.shard} of {self.shards}")
        if self.ring is not None and self.shard not in self.ring.shards:
            raise ValueError(f"shard {self.shard} is not among those that it is to be done together with")
        check_views(self.views)
        return self


def check_views(views: list[View]) -> None:
    """See that each view can be made: the first is whole, and the versions grow.

    Raises:
        ValueError: One cannot.
    """
    if not views or not views[0].whole:
        raise ValueError("the first view must be whole")
    if any(after.version <= before.version for before, after in pairwise(views)):
        raise ValueError("the versions of views must grow")


class ShardEntry(BaseModel):
    """The ledger's record of a shard's items, or of what is told about the whole input, for all rounds of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: list[str]
    refs: list[tuple[Sha256, Bytes]]
    data: list[bytes] | None = None
    """The items' bytes, where they are few enough to stand here; else they lie in the blob store."""
    lies: list[Annotated[int, Field(ge=0)]] | None = None
    """Of each item the chunk whose scope of the blob store has its bytes: equal bytes of several shards lie there once.
    None: all in that of this one."""

    @property
    def size_bytes(self) -> int:
        """The bytes of all items."""
        return sum(size for _, size in self.refs)

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        lengths = {len(self.names if each is None else each) for each in (self.names, self.refs, self.data, self.lies)}
        if len(lengths) > 1:
            raise ValueError("it has another number of names than of items")
        return self

    def pack(self) -> bytes:
        """As kept in the ledger."""
        known = [self.names, self.refs, self.data]
        return pack(known if self.lies is None else [*known, self.lies])

    @classmethod
    def unpack(cls, data: bytes) -> ShardEntry:
        """Back from the ledger.

        Raises:
            BadMessage: It was not written by ``pack``.
        """
        try:
            names, refs, inline, *rest = unpack(data)
            [lies] = rest or [None]
            return cls(names=names, refs=refs, data=inline, lies=lies)
        except (TypeError, ValueError) as error:
            raise BadMessage(f"what the ledger holds of this shard cannot be read: {error}") from None


class ChunkEntry(BaseModel):
    """The ledger's record of a chunk until it is settled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: list[str]
    refs: list[tuple[str, int]]
    last: list[bool]
    """Which items count as done with this chunk: see ``splitters.Item.last``."""
    batch: int
    data: list[bytes] | None = None
    """The items' bytes, where they are few enough to stand here; else they lie in the blob store."""
    part_bytes: int = LEAST_PART_BYTES
    """Limit of the chunk's part in bytes before compression: ``Job.max_part_bytes``."""
    turn: TurnEntry | None = None
    """The chunk is a shard's turn in a round."""

    @property
    def items(self) -> int:
        """How many items are done with this chunk."""
        return sum(self.last)

    @property
    def size_bytes(self) -> int:
        """The input of this chunk in bytes."""
        return sum(size for _, size in self.refs)

    def pack(self) -> bytes:
        """As kept in the ledger."""
        turn = [] if self.turn is None else [self.turn.model_dump(exclude_defaults=True)]
        return pack([self.names, self.refs, self.last, self.batch, self.data, self.part_bytes, *turn])

    @property
    def expected(self) -> Expected:
        """The limits that the chunk's part must keep."""
        return Expected(names=self.names, part_bytes=self.part_bytes)

    @classmethod
    def unpack(cls, data: bytes) -> ChunkEntry:
        """Back from the ledger.

        Raises:
            BadMessage: It was not written by ``pack``.
        """
        try:
            names, refs, last, batch, inline, part_bytes, *rest = unpack(data)
            [turn] = rest or [None]
            return cls(
                names=names, refs=refs, last=last, batch=batch, data=inline, part_bytes=part_bytes, turn=turn
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise BadMessage(f"what the ledger holds of this chunk cannot be read: {error}") from None


def pack(value: Any, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """A value as MessagePack, compressed with Zstandard where it is long enough to gain.

    Raises:
        BadMessage: The value holds a type that MessagePack does not carry, is over ``max_bytes`` before compression, or
            has more elements than ``unpack`` takes.
    """
    try:
        packed: bytes = msgpack.packb(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadMessage(f"a part cannot be packed: {error}") from None
    if len(packed) > max_bytes:
        raise BadMessage(f"a part has {len(packed):,} bytes; the limit is {max_bytes:,}")
    if len(packed) > _most_elements(max_bytes):
        _decode(packed, max_bytes)
    if len(packed) < COMPRESS_FROM_BYTES:
        return RAW + packed
    return ZSTD + zstandard.ZstdCompressor(level=3 if len(packed) < HURRY_FROM_BYTES else 1).compress(packed)


def unpack(data: bytes, max_bytes: int = DEFAULT_MAX_BYTES) -> Any:
    """The value that ``pack`` was given (tuples come back as lists).

    Raises:
        BadMessage: Not such bytes, over ``max_bytes`` when decompressed, or of too many elements for that.

    Holds at most some 8 times ``max_bytes``, and 0.5 GiB besides the bytes themselves, whatever they are.
    """
    kind, body = data[:1], data[1:]
    if kind == ZSTD:
        try:
            size = zstandard.frame_content_size(body)
            if not 0 <= size <= max_bytes:
                raise BadMessage(f"a packed value says it has {size:,} bytes; the limit is {max_bytes:,}")
            body = zstandard.ZstdDecompressor().decompress(body)
        except zstandard.ZstdError as error:
            raise BadMessage(f"a packed value cannot be read: {error}") from None
    elif kind != RAW:
        raise BadMessage("a packed value starts with an unknown byte")
    if len(body) > max_bytes:
        raise BadMessage(f"a packed value has {len(body):,} bytes; the limit is {max_bytes:,}")
    return _decode(body, max_bytes)


def _most_elements(max_bytes: int) -> int:
    return min(MOST_ELEMENTS, max(LEAST_ELEMENTS, max_bytes // ELEMENT_BYTES))


def _decode(body: bytes, max_bytes: int) -> Any:
    """The value of MessagePack, which is refused as soon as it has too many elements."""
    most = _most_elements(max_bytes)
    left = most

    def count(container: Any) -> Any:
        nonlocal left
        left -= len(container) + 1
        if left < 0:
            raise BadMessage(f"a packed value has more than {most:,} elements")
        return container

    hooks = {"list_hook": count, "object_hook": count} if len(body) > most else {}
    try:
        return msgpack.unpackb(body, strict_map_key=False, max_array_len=most, max_map_len=most, **hooks)
    except BadMessage:
        raise
    except (msgpack.UnpackException, ValueError, TypeError) as error:
        raise BadMessage(f"a packed value cannot be read: {error}") from None


def run_of_message(message: bytes) -> str:
    """The run that a message of Celery's is about, "" for one that is not ours."""
    return names.TaskId.run_of(task_id(message))


def task_id(message: bytes) -> str:
    """The id of a Celery message as it lies in a queue or among those a node holds; "" if it cannot be read."""
    try:
        found: Any = orjson.loads(message)
        name = (found[0] if isinstance(found, list) else found)["headers"]["id"]
    except (ValueError, TypeError, KeyError, IndexError):
        return ""
    return name if isinstance(name, str) else ""
