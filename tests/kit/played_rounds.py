"""A run in rounds whose driver and nodes the test plays: each part adds one to its (round, shard)."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import redis

from cluster import keys, wire
from cluster.blobs import address
from cluster.ledger.lease import Advanced, Lease, Split
from cluster.ledger.parts import INLINE
from cluster.ledger.records import Claim, Commit, Worker
from cluster.ledger.row import RunPolicy
from cluster.stores import Stores
from cluster.wire import ChunkEntry, ShardEntry, TurnEntry, View

POLICY = RunPolicy(max_attempts=3, retry_delay_s=1, time_limit_s=60)
PLANNED = 5
ABOUT = b"about the input"
Parts = Mapping[int, Mapping[str, Any]]
"""Chunk -> its part."""


def view(version: int) -> View:
    """One that stands for itself."""
    return View(version, True, *address(b"%d" % version))


def shard(name: str, data: bytes) -> ShardEntry:
    """One of a single item."""
    return ShardEntry(names=[name], refs=[tuple(address(data))], data=[data])


def on(node: str) -> Worker:
    return Worker(f"worker@{node}", f"incarnation-of-{node}")


class Kept(NamedTuple):
    """All that a Redis holds of a run at one moment."""

    dumps: Mapping[bytes, bytes]
    values: Mapping[bytes, Any]
    """What can be compared: a dump of equal values may differ."""

    @classmethod
    def of(cls, client: redis.Redis, run: str) -> Self:
        found: Any = sorted(client.scan_iter(f"{keys.run(run)}*"))
        return cls({key: client.dump(key) for key in found}, {key: _value(client, key) for key in found})  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kept) and self.values == other.values

    def __hash__(self) -> int:
        return hash(tuple(self.values))

    def restore(self, client: redis.Redis, run: str) -> None:
        """What came since is lost; at once, so that nobody takes the run for gone."""
        with client.pipeline(transaction=True) as pipe:
            for key in client.scan_iter(f"{keys.run(run)}*"):
                pipe.delete(key)
            for key, dump in self.dumps.items():
                pipe.restore(key, 600_000, dump)
            pipe.execute()


def _value(client: Any, key: bytes) -> Any:
    read = {
        b"hash": client.hgetall, b"set": client.smembers, b"string": client.get, b"stream": client.xrange,
        b"list": lambda key: client.lrange(key, 0, -1),
    }  # fmt: skip
    return read[client.type(key)](key)


class PlayedRounds:
    """A run with ``shards`` shards, which all wait for each other; or, where not ``together``, none for any other.

    Its state counts the parts that were used, by (round, shard) as "r:s". A round has the number of its batch.
    """

    def __init__(
        self, stores: Stores, shards: int = 3, *, together: bool = True, planned: int = PLANNED,
        policy: RunPolicy = POLICY, failures: Mapping[str, str] | None = None, job: str = "rounds",
    ) -> None:  # fmt: skip
        self.run = f"{job}-{secrets.token_hex(4)}"
        self.stores = stores
        self.shards = shards
        self.together = together
        self.planned = planned
        self.failures = failures or {}
        stores.ledger.runs.create(self.run, job, "", {}, "test", policy=policy)
        self.lease = Lease.take(stores.ledger, self.run, "test", "splitter")
        self.begin()

    def take_over(self) -> Lease:
        """Another driver has the lease from now on; gives the old one, which does not know."""
        old = self.lease
        self.stores.redis.hset(keys.run(self.run), "lease_until_ms", 0)
        self.lease = Lease.take(self.stores.ledger, self.run, f"driver {secrets.token_hex(4)}", "supervisor")
        return old

    def begin(self) -> bool:
        given = [shard("about", ABOUT), *(shard(f"shard {number}", b"%d" % number) for number in range(self.shards))]
        at = Split(chunks_read=len(given), items=100, digest="d", size_bytes=sum(one.size_bytes for one in given))
        batches = [0] * self.shards if self.together else range(self.shards)
        entries = [self.entry(batch, 0, number) for number, batch in enumerate(batches)]
        failed = len(self.failures)
        return self.lease.begin_rounds(at, given, {}, [view(0)], entries, self.planned, self.failures, failed)

    def entry(self, batch: int, round_: int, number: int) -> ChunkEntry:
        turn = TurnEntry(
            round=round_, shard=number, shards=self.shards, kind="train", seconds=None, base=f"base {round_}",
            views=[view(round_)],
        )  # fmt: skip
        return ChunkEntry(names=[f"{batch}:{number}"], refs=[], last=[False], batch=batch, turn=turn)

    def chunks(self, round_: int) -> range:
        """Of a run whose shards wait for each other."""
        return range(self.chunk(round_, 0), self.chunk(round_ + 1, 0))

    def chunk(self, round_: int, number: int) -> int:
        """As ``chunks``."""
        return round_ * self.shards + number

    def claim(self, chunk: int, node: str = "n1") -> Claim:
        claims = self.stores.ledger.chunks.claim(self.run, [chunk], on(node))
        return claims.of.get(chunk, Claim(claims.state))

    def commit(self, chunk: int, claim: Claim, node: str = "n1") -> str:
        entry = ChunkEntry.unpack(claim.entry)
        assert entry.turn is not None
        part = INLINE + wire.pack({"at": entry.names[0], "base": entry.turn.base})
        return self.stores.ledger.chunks.commit(self.run, [Commit(chunk, entry, part)], on(node)).states[chunk]

    def do(self, *chunks: int, node: str = "n1") -> list[str]:
        return [self.commit(chunk, self.claim(chunk, node), node) for chunk in chunks]

    def read(self, batch: int) -> Parts:
        """The parts of a batch; one that is given up is empty."""
        entries = self.stores.ledger.rounds.parts(self.run, batch)
        return {chunk: wire.unpack(entry.removeprefix(INLINE)) if entry else {} for chunk, entry in entries.items()}

    def step(self, parts: Parts) -> dict[str, int]:
        """The state before, and the parts on top of it."""
        row = self.stores.ledger.rounds.of(self.run)
        assert row is not None
        return dict(Counter(row.state) + Counter(part["at"] for part in parts.values() if part))

    def close(
        self, round_: int, batch: int | None = None, *, parts: Parts | None = None,
        last: bool = False, lease: Lease | None = None, after: Sequence[int] | None = None,
        row: Mapping[str, Any] | None = None, **more: Any,
    ) -> Advanced:  # fmt: skip
        """Close a round with these parts, those that are there now if None, and enter the next turn of its shards.

        Args:
            round_: Which one.
            batch: Its batch; None: of its number.
            parts: Those that were read.
            last: No round comes after it.
            lease: By this lease.
            after: The shards whose turn is next; None: all.
            row: The round's line of the curve; None: only how many parts there were.
            more: See ``Lease.advance``.
        """
        batch = round_ if batch is None else batch
        parts = self.read(batch) if parts is None else parts
        following = self.next_batch
        numbers = () if last else range(self.shards) if after is None else after
        entries = [self.entry(following, round_ + 1, number) for number in numbers]
        told = {"parts": len(parts)} if row is None else dict(row)
        return (lease or self.lease).advance(
            round_, batch, parts, self.step(parts), [view(round_ + 1)], told, entries, over=last, **more
        )

    @property
    def next_batch(self) -> int:
        row = self.stores.ledger.runs.row(self.run, "batches_published")
        assert row is not None
        return row.batches_published

    @property
    def counted(self) -> dict[str, int]:
        row = self.stores.ledger.rounds.of(self.run)
        assert row is not None
        return dict(row.state)

    @property
    def status(self) -> Any:
        return self.stores.ledger.runs.status(self.run)
