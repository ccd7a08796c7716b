"""What travels between machines, and its limits: packed values and the messages of the broker."""

from __future__ import annotations

from typing import Annotated, Any

import msgpack
import orjson
import zstandard
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

RUN_PATTERN = r"^[a-zA-Z0-9-]{1,64}$"
COMPRESS_FROM_BYTES = 512
HURRY_FROM_BYTES = 2**20
"""From there on compressing takes long enough to be done in half the time, for some 5 % more bytes."""
DEFAULT_MAX_BYTES = 256 * 2**20
MOST_CHUNKS = 64
"""So many may travel in one message."""
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

    run: str = Field(pattern=RUN_PATTERN)
    chunks: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]],
        Field(min_length=1, max_length=MOST_CHUNKS),
        AfterValidator(_refuse_repeats),
    ]


class FoldMessage(BaseModel):
    """Join the parts of a window (level 0), or ``runs.FAN_IN`` neighbouring folds of the level below."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    run: str = Field(pattern=RUN_PATTERN)
    level: int = Field(ge=0, lt=16)
    number: int = Field(ge=0, lt=2**31)


class ChunkEntry(BaseModel):
    """What the ledger keeps of a chunk until it is settled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: list[str]
    refs: list[tuple[str, int]]
    last: list[bool]
    """Which items count as done with this chunk: see ``splitters.Item.last``."""
    window: int
    data: list[bytes] | None = None
    """The items' bytes, where they are few enough to stand here; else they lie in the blob store."""

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
        return pack([self.names, self.refs, self.last, self.window, self.data])

    @classmethod
    def unpack(cls, data: bytes) -> ChunkEntry:
        """Back from the ledger.

        Raises:
            BadMessage: It was not written by ``pack``.
        """
        try:
            names, refs, last, window, inline = unpack(data)
            return cls(names=names, refs=refs, last=last, window=window, data=inline)
        except (TypeError, ValueError) as error:
            raise BadMessage(f"what the ledger holds of this chunk cannot be read: {error}") from None


def pack(value: Any, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """A value as MessagePack, compressed with Zstandard where it is long enough to gain.

    Raises:
        BadMessage: It holds what MessagePack does not carry, or is over ``max_bytes`` before compression.
    """
    try:
        packed: bytes = msgpack.packb(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadMessage(f"a part cannot be packed: {error}") from None
    if len(packed) > max_bytes:
        raise BadMessage(f"a part has {len(packed):,} bytes; the limit is {max_bytes:,}")
    if len(packed) < COMPRESS_FROM_BYTES:
        return RAW + packed
    return ZSTD + zstandard.ZstdCompressor(level=3 if len(packed) < HURRY_FROM_BYTES else 1).compress(packed)


def unpack(data: bytes, max_bytes: int = DEFAULT_MAX_BYTES) -> Any:
    """The value that ``pack`` was given (tuples come back as lists).

    Raises:
        BadMessage: Not such bytes, or over ``max_bytes`` when decompressed.
    """
    kind, body = data[:1], data[1:]
    try:
        if kind == ZSTD:
            size = zstandard.frame_content_size(body)
            if not 0 <= size <= max_bytes:
                raise BadMessage(f"a packed value says it has {size:,} bytes; the limit is {max_bytes:,}")
            body = zstandard.ZstdDecompressor().decompress(body)
        elif kind != RAW:
            raise BadMessage("a packed value starts with an unknown byte")
        if len(body) > max_bytes:
            raise BadMessage(f"a packed value has {len(body):,} bytes; the limit is {max_bytes:,}")
        return msgpack.unpackb(body, strict_map_key=False)
    except BadMessage:
        raise
    except (zstandard.ZstdError, msgpack.UnpackException, ValueError, TypeError) as error:
        raise BadMessage(f"a packed value cannot be read: {error}") from None


def run_of_message(message: bytes) -> str:
    """The run that a message of Celery's is about, "" for one that is not ours: ids are made in ``celery_tasks``."""
    return task_id(message).partition(".")[0]


def task_id(message: bytes) -> str:
    """The id of a Celery message as it lies in a queue or among those a node holds; "" if it cannot be read."""
    try:
        found: Any = orjson.loads(message)
        return str((found[0] if isinstance(found, list) else found)["headers"]["id"])
    except (ValueError, TypeError, KeyError, IndexError):
        return ""
