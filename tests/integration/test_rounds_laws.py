"""Whatever nodes, drivers and Redis do in whatever order: each part of a closed round counts once, or is late."""

from __future__ import annotations

from collections import Counter

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cluster.ledger.lease import Busy, Lease, OutOfStep
from cluster.ledger.records import Claim, Opened
from cluster.stores import Stores
from cluster.wire import ChunkEntry
from tests.kit.played_rounds import Kept, Parts, PlayedRounds, on

Read = tuple[int, int, Parts]
SHARDS = 3
NODES = ("n1", "n2")


class Rounds(RuleBasedStateMachine):
    """Nodes claim, commit and die; drivers read and close rounds, and lose their lease; Redis forgets."""

    claims = Bundle("claims")
    reads = Bundle("reads")

    def __init__(self, stores: Stores, client: redis.Redis) -> None:
        super().__init__()
        self.stores = stores
        self.client = client

    @initialize(together=st.booleans())
    def begin(self, together: bool) -> None:
        self.played = PlayedRounds(self.stores, SHARDS, together=together, planned=1000)
        self.old = self.played.take_over()
        self.kept: Kept | None = None

    @rule(target=claims, shard=st.integers(0, SHARDS - 1), node=st.sampled_from(NODES))
    def claim(self, shard: int, node: str) -> tuple[int, Claim, str]:
        """A node begins the open turn of a shard."""
        chunk = self.turns[shard]
        return chunk, self.played.claim(chunk, node), node

    @rule(one=claims)
    def commit(self, one: tuple[int, Claim, str]) -> None:
        """A node hands in what it has begun some time ago, and keeps it, as its answer may be lost."""
        chunk, claim, node = one
        if claim.state in ("claimed", "exhausted"):
            self.played.commit(chunk, claim, node)

    @rule(one=claims)
    def give_up(self, one: tuple[int, Claim, str]) -> None:
        chunk, claim, node = one
        if claim.state in ("claimed", "exhausted"):
            entry = ChunkEntry.unpack(claim.entry)
            self.stores.ledger.chunks.dead_letter(self.played.run, chunk, entry, "it failed", on(node))

    @rule(one=consumes(claims), how=st.sampled_from(["failed", "killed", "lost"]))
    def die(self, one: tuple[int, Claim, str], how: str) -> None:
        chunk, _, node = one
        self.stores.ledger.chunks.end_attempt(self.played.run, chunk, how, on(node), "by the test")

    @rule(target=reads, at=st.integers(0, SHARDS - 1))
    def read(self, at: int) -> Read:
        """A driver reads the parts of a batch that is open, to close the next round with them."""
        batch = [*self.open][at % len(self.open)]
        return self.last + 1, batch, self.played.read(batch)

    def advance(self, round_: int, batch: int, parts: Parts, lease: Lease) -> str:
        opened = {
            each.batch: [*each.chunks] for each in self.stores.ledger.rounds.await_opened(self.played.run, "", 0.01)
        }
        row = {"counted": [chunk for chunk, part in parts.items() if part], "all": [*parts]}
        return self.played.close(round_, batch, parts=parts, lease=lease, after=opened.get(batch, [0]), row=row)

    @rule(what=reads, old=st.booleans())
    def close(self, what: Read, old: bool) -> None:
        """A driver closes a round with what it has read, now or some time ago; perhaps once more."""
        round_, batch, parts = what
        last = self.last
        try:
            answer = self.advance(round_, batch, parts, self.old if old else self.played.lease)
        except (Busy, OutOfStep):
            answer = "refused"
        assert answer in (("refused",) if old else ("running", "more", "refused"))
        assert self.last == last + (answer == "running" and round_ == last + 1)

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, SHARDS - 1))
    def close_now(self, at: int) -> None:
        """The driver reads and closes at once, as it does but for an accident."""
        round_, batch, parts = self.read(at)
        assert self.advance(round_, batch, parts, self.played.lease) == "running"
        assert self.last == round_

    @rule(at=st.integers(0, SHARDS - 1), shard=st.integers(0, SHARDS - 1), forgets=st.booleans())
    def close_while_parts_come(self, at: int, shard: int, forgets: bool) -> None:
        """Between reading and closing a part comes; perhaps in place of one that Redis forgot."""
        what = self.read(at)
        if forgets and self.kept is not None:
            self.kept.restore(self.client, self.played.run)
        self.commit(self.claim(shard, "n1"))
        self.close(what, old=False)
        self.take_over()

    @rule()
    def take_over(self) -> None:
        self.old = self.played.take_over()

    @rule()
    def remember(self) -> None:
        """Redis writes to its disk."""
        self.kept = Kept.of(self.client, self.played.run)

    @precondition(lambda self: self.kept)
    @rule()
    def forget(self) -> None:
        """Redis comes back as it was when it last wrote to its disk; drivers take a lease again."""
        assert self.kept is not None
        self.kept.restore(self.client, self.played.run)
        self.old = self.played.take_over()

    @invariant()
    def each_part_of_a_closed_round_counts_once_or_is_late(self) -> None:
        counted = Counter(self.played.counted)
        rows = [row for _, row in self.stores.ledger.rounds.curve(self.played.run)]
        assert [row["round"] for row in rows] == list(range(self.last + 1))
        assert set(counted.values()) <= {1}
        assert sum(counted.values()) == sum(len(row["counted"]) for row in rows)
        came = [chunk for row in rows for chunk in row["all"]]
        late = [chunk for row in rows for chunk in row["late_chunks"]]
        size = SHARDS if self.played.together else 1
        assert all(len(row["all"]) + len(row["late_chunks"]) == size for row in rows)
        assert len({*came, *late}) == len(came) + len(late)
        assert self.stores.ledger.rounds.late(self.played.run) <= {*late}

    @invariant()
    def the_counts_agree(self) -> None:
        row = self.stores.ledger.runs.row(
            self.played.run, "round", "late", "late_committed", "chunks_settled", "chunks_published",
            "batches_complete", "batches_aggregated", "items_settled",
        )  # fmt: skip
        assert row is not None
        rounds = self.stores.ledger.rounds
        assert row.items_settled == row.batches_aggregated == self.last + 1
        assert row.late - row.late_committed == len(rounds.late(self.played.run))
        unsettled = self.stores.ledger.chunks.unsettled(self.played.run)
        assert row.chunks_settled + len(unsettled) == row.chunks_published
        whole = [
            batch
            for batch, chunks in self.open.items()
            if rounds.look(self.played.run, [batch]).arrived == [len(chunks)]
        ]
        assert row.batches_complete - row.batches_aggregated == len(whole)
        assert sorted(chunk for chunks in self.open.values() for chunk in chunks) == sorted(
            {*unsettled, *(chunk for batch in self.open for chunk in rounds.parts(self.played.run, batch))}
        )
        assert sum(map(len, self.open.values())) == SHARDS

    @property
    def open(self) -> dict[int, range]:
        rows = self.stores.ledger.partials.open_batches(self.played.run)
        return {batch: row.chunks for batch, row in rows.items()}

    @property
    def last(self) -> int:
        row = self.stores.ledger.rounds.of(self.played.run)
        assert row is not None
        return row.round

    @property
    def opened(self) -> list[Opened]:
        return self.stores.ledger.rounds.await_opened(self.played.run, "", 0.01)

    @property
    def turns(self) -> dict[int, int]:
        """Shard -> its chunk that was entered last."""
        found: dict[int, int] = {}
        for opened in self.opened:
            found |= opened.chunks
        return found


def test_parts_and_late_ones_are_all_whatever_happens(stores: Stores, client: redis.Redis) -> None:
    run_state_machine_as_test(
        lambda: Rounds(stores, client),  # type: ignore[arg-type]
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
