"""Runs in rounds: how far one is, its shards, the parts of a round, its curve. ``Lease`` begins and closes rounds.

A round is a batch (see ``Partials.open_batches``), and a chunk of it is one shard's turn. Where shards do not wait for
each other each batch has one chunk, and a round is closed with each part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import pydantic

from cluster import errors, keys, names, wire
from cluster.ledger.records import Arrival, Opened
from cluster.ledger.steps import awaited
from cluster.wire import ShardEntry, View

if TYPE_CHECKING:
    import redis

    from cluster.ledger.runs import Runs

RING_S = 60
"""Seconds for which it stands where nodes meet: longer than they wait for each other."""
_VIEWS = pydantic.TypeAdapter(list[View])


class RoundsRow(NamedTuple):
    """How far a run in rounds is."""

    round: int
    """The last one that is closed; -1 before."""
    planned: int
    """How many rounds it is to have."""
    state: Mapping[str, Any]
    """As ``Lease.advance`` was given it last, with all that a driver needs to go on."""
    views: Sequence[View]


class Look(NamedTuple):
    """What a driver looks at while it waits for parts."""

    state: str
    """The run's; "" if it is gone."""
    closed: int
    """How many rounds are closed."""
    arrived: list[int]
    """Of each batch that was asked for, how many entries ``Rounds.parts`` would give."""
    now_ms: int
    """By Redis's clock, since 1970."""
    chunks: int
    """How many chunks are entered in all."""


class Rounds:
    """The rounds of all runs, and the slots that stay for them."""

    def __init__(self, client: redis.Redis, runs: Runs) -> None:
        self._redis = client
        self._runs = runs

    def of(self, run: str) -> RoundsRow | None:
        """How far a run is; None if it goes in no rounds, has not begun them, or is gone.

        Raises:
            errors.RunFailed: What Redis holds is not what we write.
        """
        row = self._runs.row(run, "round", "rounds_planned", "model_state", "views")
        if row is None or row.round is None:
            return None
        try:
            views = _VIEWS.validate_python(row.views)
            wire.check_views(views)
        except ValueError as error:
            raise errors.RunFailed(f"what Redis holds of the run {run} cannot be read: {error}") from error
        return RoundsRow(row.round, row.rounds_planned, row.model_state, views)

    def shard(self, run: str, number: int) -> ShardEntry:
        """What is told about the whole input (0), or a shard (1 and on).

        Raises:
            wire.BadMessage: It is not there, or cannot be read.
        """
        found: Any = self._redis.hget(keys.run(run, "shards"), str(number))
        return ShardEntry.unpack(found or b"")

    def parts(self, run: str, batch: int) -> dict[int, bytes]:
        """Chunk -> its entry (see ``parts``) of those in an open batch that are settled, in their order.

        An entry is empty where the chunk was given up. Entries are only added until the batch is closed.
        """
        found: Any = self._redis.hgetall(keys.parts(run, batch))
        return {chunk: found[b"%d" % chunk] for chunk in sorted(map(int, found))}

    def settled(self, run: str, batch: int, chunks: Sequence[int]) -> int:
        """How many of these chunks of an open batch are settled."""
        found: Any = self._redis.hmget(keys.parts(run, batch), list(map(str, chunks))) if chunks else []
        return sum(entry is not None for entry in found)

    def look(self, run: str, batches: Sequence[int]) -> Look:
        """See ``Look``; in one go, as it is on the way of each round."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.run(run), "state", "batches_aggregated", "chunks_published")
            pipe.time()
            for batch in batches:
                pipe.hlen(keys.parts(run, batch))
            (state, closed, chunks), (seconds, micros), *arrived = pipe.execute()
        now_ms = seconds * 1000 + micros // 1000
        return Look((state or b"").decode(), int(closed or 0), arrived, now_ms, int(chunks or 0))

    def late(self, run: str) -> set[int]:
        """Chunks that were not there when their round was closed, and have not been committed since: so far, lost."""
        found: Any = self._redis.smembers(keys.run(run, "late"))
        return set(map(int, found))

    def curve(self, run: str, after: str = "") -> list[tuple[str, dict[str, Any]]]:
        """The rows of the rounds, the last ten thousand, each with an id; see ``row_of``.

        Args:
            run: Whose.
            after: The id of the last one that is known; "" for none.
        """
        found: Any = self._redis.xrange(keys.run(run, "curve"), f"({after}" if after else "-")
        return [(entry.decode(), row_of(run, fields)) for entry, fields in found]

    # Slots that stay: see ``worker.stay``.

    def stay(self, run: str, message_of: int, chunk: int) -> None:
        """A slot that keeps the message of one chunk does another one, for which there is no message."""
        self._redis.hset(keys.run(run, "stays"), str(message_of), str(chunk))

    def leave(self, run: str, message_of: int) -> None:
        """The slot that keeps the message of this chunk does no other one any more."""
        self._redis.hdel(keys.run(run, "stays"), str(message_of))

    def others_wait(self, run: str) -> bool:
        """Whether chunks of another run wait for nodes."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrevrange(keys.WAITING, 0, 1, withscores=True)  # if one of them is ours, the other one is not
            (seconds, micros), waiting = pipe.execute()
        now_ms = seconds * 1000 + micros // 1000
        return any(each != run.encode() and until_ms >= now_ms for each, until_ms in waiting)

    def stays_for(self, run: str, message_of: int) -> int | None:
        """The chunk that the slot does which keeps the message of this one; None where that is all it does."""
        found: Any = self._redis.hget(keys.run(run, "stays"), str(message_of))
        return None if found is None else int(found)

    def staying(self, run: str) -> dict[int, int]:
        """Chunk whose message a slot keeps -> the chunk that it does; where it died, what it did last."""
        found: Any = self._redis.hgetall(keys.run(run, "stays"))
        return {int(message_of): int(chunk) for message_of, chunk in found.items()}

    # Nodes that do their shards together: see ``worker.seats``.

    def tell_ring(self, run: str, round_: int, shard: int, where: str) -> None:
        """Say where the nodes meet that do some shards of a round together; told again, the last one counts."""
        self._redis.set(keys.ring(run, round_, shard), where, ex=RING_S)

    def ring(self, run: str, round_: int, shard: int) -> str:
        """What ``tell_ring`` was told; "" before."""
        found: Any = self._redis.get(keys.ring(run, round_, shard))
        return (found or b"").decode()

    def free(self, run: str, chunks: Iterable[int]) -> None:
        """Let nodes of any place claim these chunks."""
        self._redis.hdel(keys.run(run, "places"), *map(str, chunks))

    def await_arrival(self, run: str, after: str, most_s: float) -> list[Arrival]:
        """The chunks that were settled after that one, in this order; waits for one, for at most ``most_s``.

        Args:
            run: Whose.
            after: The id of the last one that is known; "" for none.
            most_s: Seconds to wait at most.
        """
        return [_arrival(*each) for each in awaited(self._redis, keys.run(run, "arrivals"), after, most_s)]

    def await_opened(self, run: str, after: str, most_s: float) -> list[Opened]:
        """The batches that were entered after that one, as ``await_arrival``."""
        return [_opened(*each) for each in awaited(self._redis, keys.run(run, "opened"), after, most_s)]


def row_of(run: str, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """A line of the curve: the row that the driver made of a round, ``round``, and ``late_chunks``.

    Raises:
        errors.RunFailed: It is not what we write.
    """
    try:
        late = list(map(int, fields[b"late"].split()))
        return {**orjson.loads(fields[b"row"]), "round": int(fields[b"round"]), "late_chunks": late}
    except (ValueError, TypeError, LookupError) as error:
        raise errors.RunFailed(f"what Redis holds of the run {run} cannot be read: {error}") from error


def _arrival(entry: bytes, fields: Mapping[bytes, bytes]) -> Arrival:
    text = entry.decode()
    node, why = (fields.get(name, b"").decode() for name in (b"node", b"why"))
    return Arrival(text, int(fields[b"chunk"]), int(fields[b"since_ms"]), names.entered_ms(text), node, why)


def _opened(entry: bytes, fields: Mapping[bytes, bytes]) -> Opened:
    text, first = entry.decode(), int(fields[b"first"])
    chunks = {int(shard): first + at for at, shard in enumerate(fields[b"shards"].split())}
    return Opened(text, int(fields[b"round"]), int(fields[b"batch"]), chunks, names.entered_ms(text))
