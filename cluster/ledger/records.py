"""The arguments and answers of the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cluster import wire
from cluster.ledger.row import RunPolicy

if TYPE_CHECKING:
    from cluster.wire import ChunkEntry

Trigger = Literal["chord", "ledger", "driver"]
"""The start of joining a batch's parts: by the chord of its messages, or by the commit that completes the batch. No
node joins those of a round ("driver"): see ``Lease.advance``."""
MOST_KILLS = 3
"""A chunk that ended its process 3 times is given up: most likely it needs more memory than there is."""
MOST_LOSSES = 10
"""A chunk whose node was lost 10 times is given up, too: it may be the cause."""
FAN_IN = 16
"""How many neighbouring partials are aggregated into one of the next level."""
MAX_REASON_CHARS = 500


def as_reason(error: object) -> str:
    """Why something is missing or has failed, as it can be stored and shown: short, and UTF-8."""
    return str(error)[:MAX_REASON_CHARS].encode("utf-8", "backslashreplace").decode()


class Worker(NamedTuple):
    """The node that does a chunk, and its incarnation."""

    node: str
    incarnation: str


class Attempts(NamedTuple):
    """The failed attempts at a chunk or partial, counted by how they ended."""

    failed: int = 0
    """The task raised."""
    killed: int = 0
    """Its process was ended, by the kernel most likely."""
    lost: int = 0
    """Its node was lost, or handed it back because memory ran out there."""


class Claim(NamedTuple):
    """The answer about a chunk that a node wants to start.

    ``state`` is "claimed", or why not: "settled" (a repeat), "exhausted" (attempted too often), "unknown" (no such
    chunk), "taken" (of a run in rounds: a node is at it), "elsewhere" (a speculative copy that came to the node which
    has the first), "other place" (what it needs lies at another place), "apart" (an attempt at it has ended badly: it
    is to be claimed by itself).
    """

    state: str
    attempts: Attempts = Attempts()
    """The failed attempts; of a chunk that is done item by item, those at its next item."""
    entry: bytes = b""
    over: int | None = None
    """How many of its items are over; None of a chunk that is done as a whole."""


class Piece(NamedTuple):
    """The result of one item of a chunk that is done item by item."""

    part: bytes = b""
    """Its entry (see ``parts``); none of an item that is given up."""
    failures: Mapping[str, str] = {}
    """Item -> why it is missing."""

    def pack(self) -> bytes:
        """As kept in the ledger."""
        return wire.pack([self.part, dict(self.failures)])

    @classmethod
    def unpack(cls, data: bytes) -> Piece:
        """Back from the ledger.

        Raises:
            wire.BadMessage: It was not written by ``pack``.
        """
        try:
            part, failures = wire.unpack(data)
            if isinstance(part, bytes) and all(map(_is_text, failures.items())):
                return cls(part, failures)
        except (TypeError, ValueError, AttributeError):
            pass
        raise wire.BadMessage("what an item of this chunk gave cannot be read")


class Claims(NamedTuple):
    """The answer to a node that wants to start chunks of a run.

    ``state`` is "ready", or why there is nothing to do: "unknown" (no such run), "other capability", "paused", or the
    state of a run that is over.
    """

    state: str
    job: str = ""
    """Of the run, as are the next three."""
    version: str = ""
    options: Mapping[str, Any] = {}
    policy: RunPolicy = RunPolicy()
    of: Mapping[int, Claim] = {}
    """Chunk -> what is said of it."""


class Commit(NamedTuple):
    """A chunk that is over, as its node hands it in."""

    chunk: int
    entry: ChunkEntry
    part: bytes = b""
    """Its entry (see ``parts``); none of a chunk that is given up."""
    failures: Mapping[str, str] = {}
    """Item -> why it is missing."""
    seconds: float = 0.0
    """Seconds from reading the chunk's input to its part."""
    why: str = ""
    """Why the chunk is given up; "" if it has a part."""


class Committed(NamedTuple):
    """The outcome of a commit of chunks."""

    states: Mapping[int, str]
    """Chunk -> "settled now", or why it was dropped: "settled", "late" (its round is closed), "unknown", or the state
    of a run that is over."""
    complete: Mapping[int, Trigger] = {}
    """Batches whose last chunk was among them -> the trigger that starts joining their parts; none of a round's."""


class PartialInputs(NamedTuple):
    """The inputs of a partial if ``state`` is "ready"; ``partial_inputs.lua`` lists the other states."""

    state: str
    job: str = ""
    """Of the run, as are the next three."""
    version: str = ""
    options: Mapping[str, Any] = {}
    policy: RunPolicy = RunPolicy()
    attempts: Attempts = Attempts()
    """Failed attempts at this partial; only ``failed`` is set where it is ready."""
    entries: Mapping[str, bytes] = {}
    """Chunk (level 0) or "level:number" -> part entry, in the order of the input."""
    expected: Mapping[str, bytes] = {}
    """Chunk -> what is expected of its part (``wire.Expected``); b"" where that is gone, or of a partial."""


class Unusable(NamedTuple):
    """A chunk whose part cannot be used, as it is not what its job gives; its items are missing."""

    chunk: str
    why: str
    names: Sequence[str]


class Progress(NamedTuple):
    """The fields of a run's row that are read many times a second."""

    state: str
    chunks_published: int
    chunks_settled: int
    bytes_settled: int
    batches_complete: int
    batches_aggregated: int
    split_ended: bool
    paused: bool = False


class Arrival(NamedTuple):
    """A chunk of a run in rounds that is settled."""

    id: str
    chunk: int
    claimed_ms: int
    """When its node began it, in milliseconds since 1970 by Redis's clock; so is ``at_ms``."""
    at_ms: int
    """When it was settled."""
    node: str = ""
    """Where."""
    why: str = ""
    """Why it was given up; "" where it has a part."""


class Opened(NamedTuple):
    """A batch of a run in rounds that is entered; or that there is none any more, as the run is done."""

    id: str
    round: int
    batch: int
    """-1 where the run is done."""
    chunks: Mapping[int, int]
    """Shard -> its chunk, of all shards that have a turn in this batch."""
    at_ms: int
    """Since 1970, by Redis's clock."""


class Running(NamedTuple):
    """A chunk that some node works on."""

    chunk: int
    worker: Worker
    seconds: float


def _is_text(pair: tuple[Any, Any]) -> bool:
    return isinstance(pair[0], str) and isinstance(pair[1], str)
