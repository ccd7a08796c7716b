"""The right to coordinate a run: one holder at a time, told apart by a number that only grows.

The process that holds the lease splits, publishes and recovers. The lease runs out after ``LEASE_S`` by Redis's
clock, unless its holder keeps it. Each holder has a fencing token, which the scripts that change a run check. So a
process that lost the lease without noticing (frozen, asleep, cut off) changes nothing more (M. Kleppmann, "How to do
distributed locking", 2016).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import orjson

from cluster import errors, keys, names
from cluster.ledger import Ledger
from cluster.ledger.records import Trigger
from cluster.ledger.row import RunRow
from cluster.names import Unit
from cluster.wire import ChunkEntry, ShardEntry, View

LEASE_S = 6.0
NOTHING: Mapping[str, int] = {}
NO_REASONS: Mapping[str, str] = {}
SHARE_S = 5.0
"""Seconds that a run's share of the slots holds, and that other runs count the run when they share the nodes."""
Advanced = Literal["running", "more", "done"]
Role = Literal["splitter", "supervisor"]
"""A splitter has the run's input and reads it; a supervisor has not. Where a supervisor has the lease, a
splitter may take it at once."""


class Busy(Exception):
    """The lease is another's; the message says whose."""


class OutOfStep(Exception):
    """The ledger does not stand where we left it: its Redis was restarted or replaced, and lost its last moments."""


class Split(NamedTuple):
    """How far the input of a run is read and entered."""

    chunks_read: int = 0
    """Chunks the splitter gave, also those of which nothing could be read."""
    chunks: int = 0
    batches: int = 0
    items: int = 0
    digest: str = ""
    """The digest of all items that were read, see ``coordinate``."""
    size_bytes: int = 0
    """The bytes of all chunks that are entered."""
    ended: bool = False


class Lease:
    """A run's lease; all that only its holder may do. Every call may be repeated."""

    def __init__(self, ledger: Ledger, run: str, owner: str, role: Role, fence: str) -> None:
        self.ledger = ledger
        self.run = run
        self.owner = owner
        self.role: Role = role
        self.fence = fence

    @classmethod
    def take(cls, ledger: Ledger, run: str, owner: str, role: Role) -> Self:
        """Take it.

        Raises:
            Busy: Another one holds it.
            errors.RunOver: The run is over or gone.
        """
        state, *rest = _take(ledger, run, owner, role, "")
        if state == b"busy":
            raise Busy(rest[0].decode())
        if state != b"held":
            raise errors.RunOver(f"the run {run} is {state.decode()}")
        return cls(ledger, run, owner, role, rest[0].decode())

    def keep(self) -> bool:
        """Hold it for another ``LEASE_S``; False if it is another's by now, or the run is over."""
        state, *_ = _take(self.ledger, self.run, self.owner, self.role, self.fence)
        return bool(state == b"held")

    def release(self) -> None:
        """Let go of it, so that the next one need not wait."""
        self.ledger.step("release_lease", self.run, fence=self.fence)

    def split(self) -> Split:
        """How far the input is read."""
        row = self.ledger.runs.row(
            self.run, "chunks_read", "chunks_published", "batches_published", "items_read", "digest", "bytes_published",
            "chunks_total",
        ) or RunRow()  # fmt: skip
        return Split(
            row.chunks_read, row.chunks_published, row.batches_published, row.items_read, row.digest,
            row.bytes_published, ended=row.chunks_total is not None,
        )  # fmt: skip

    def open_batch(
        self, at: Split, entries: Sequence[ChunkEntry], failures: Mapping[str, str], unreadable: int,
        trigger: Trigger = "chord",
    ) -> Split | None:  # fmt: skip
        """Enter a batch of chunks that are about to be published.

        Args:
            at: How far the input is read with them; chunks, batches and bytes are those before this batch.
            entries: Its chunks.
            failures: Items that could not be read before them, which are in no chunk, with the reasons.
            unreadable: How many of these count.
            trigger: Who starts to join the parts of the batch.

        Returns:
            How far it is now; None when the run is over.

        Raises:
            Busy: The lease is another's.
            OutOfStep: It is not the next batch.
        """
        size_bytes = at.size_bytes + sum(entry.size_bytes for entry in entries)
        after = at._replace(batches=at.batches + 1, chunks=at.chunks + len(entries), size_bytes=size_bytes)
        unread = [word for pair in failures.items() for word in pair]
        state = self.ledger.step(
            "open_batch", self.run, fence=self.fence, batch=at.batches, first=at.chunks, chunks_read=at.chunks_read,
            items_read=at.items, bytes=after.size_bytes, digest=at.digest, unreadable=unreadable,
            trigger=trigger, failures=len(failures),
            rest=[*unread, *(word for entry in entries for word in (entry.pack(), entry.expected.pack()))],
        )  # fmt: skip
        return after if self._held(state) else None

    def end_split(
        self, at: Split, failures: Mapping[str, str], unreadable: int, passed_over: Mapping[str, int] = NOTHING
    ) -> None:
        """The input is read to its end.

        Args:
            at: As for ``open_batch``.
            failures: As for ``open_batch``.
            unreadable: As for ``open_batch``.
            passed_over: Kind of file -> how many of the input are none of its items.

        Raises:
            Busy: The lease is another's.
            OutOfStep: Other batches were entered.
        """
        state = self.ledger.step(
            "end_split", self.run, fence=self.fence, chunks=at.chunks, batches=at.batches, items=at.items,
            unreadable=unreadable, passed_over=orjson.dumps(passed_over),
            failures=[word for pair in failures.items() for word in pair],
        )  # fmt: skip
        self._held(state)

    def begin_rounds(
        self, at: Split, shards: Sequence[ShardEntry], state: Mapping[str, Any], views: Sequence[View],
        entries: Sequence[ChunkEntry], planned: int, failures: Mapping[str, str], unreadable: int,
    ) -> bool:  # fmt: skip
        """Enter all of a run in rounds: its shards, its first state, and the chunks of round 0. Its input is read then.

        Args:
            at: How far the input is read: to its end.
            shards: What is told about the whole input, then the shards.
            state: Where the first state lies, and what else a driver needs to go on; JSON. See ``Rounds.of``.
            views: What nodes read of it.
            entries: The chunks of round 0, each with its ``turn``. They are chunks 0, 1 and so on, of batch 0, or each
                of a batch of its own where shards do not wait for each other.
            planned: How many rounds the run is to have.
            failures: As for ``open_batch``.
            unreadable: As for ``open_batch``.

        Returns:
            Whether the run goes on; it is over if not.

        Raises:
            Busy: The lease is another's.
            OutOfStep: The run has batches that are no rounds.
        """
        unread = [word for pair in failures.items() for word in pair]
        state_now = self.ledger.step(
            "begin_rounds", self.run, fence=self.fence, chunks_read=at.chunks_read, items_read=at.items,
            bytes=at.size_bytes, digest=at.digest, unreadable=unreadable, planned=planned,
            state=_json(state), views=_json(views), shards=len(shards), failures=len(failures),
            rest=[*(shard.pack() for shard in shards), *unread, *_turns(entries)],
        )  # fmt: skip
        return self._held(state_now)

    def advance(
        self, round_: int, batch: int, used: Collection[int], state: Mapping[str, Any], views: Sequence[View],
        row: Mapping[str, Any], entries: Sequence[ChunkEntry], planned: int | None = None, rejected: int = 0,
        *, over: bool = False, missing: Mapping[str, str] = NO_REASONS, first: int | None = None,
    ) -> Advanced:  # fmt: skip
        """Close a round: its batch goes with its parts, and the next one is entered. All at once, or nothing.

        Chunks of the batch that are not settled are late from now on: their commits are dropped, and counted.

        Args:
            round_: The one after the last that was closed.
            batch: Its batch.
            used: The chunks that ``Rounds.parts`` gave when the state was made, those that were given up among them.
            state: As for ``begin_rounds``: what was made of these parts.
            views: As for ``begin_rounds``.
            row: The round's line of the curve; JSON, where NaN and infinities become null. An empty one is no line.
            entries: The chunks of the next round, all of the next batch: the first that was never entered.
            planned: How many rounds the run is to have in all, where that has changed.
            rejected: How many of these parts were not used.
            over: The run is done.
            missing: What the result lacks since this round -> why.
            first: The number that the first of the next round's chunks has; None: whatever is next.

        Returns:
            "more" where other parts are there by now, and nothing has changed: make the state of all, and ask again.

        Raises:
            Busy: The lease is another's.
            OutOfStep: It is not the next round, or not its batch.
            errors.RunOver: The run was stopped, or is gone.
        """
        answer = self.ledger.step(
            "advance", self.run, {"parts": keys.parts(self.run, batch)}, fence=self.fence,
            round=round_, batch=batch, state=_json(state), views=_json(views), row=orjson.dumps(row) if row else "",
            planned="" if planned is None else planned, rejected=rejected, over=int(over), used=len(used),
            missing=len(missing), first="" if first is None else first,
            rest=[*used, *(word for pair in missing.items() for word in pair), *_turns(entries)],
        )  # fmt: skip
        if answer == b"more":
            return "more"
        if self._held(answer):
            return "running"
        if answer != b"done":
            raise errors.RunOver(f"the run {self.run} is {answer.decode()}")
        return "done"

    def enter_joins(
        self, round_: int, batch: int, first: int, state: Mapping[str, Any], entries: Mapping[str, ChunkEntry]
    ) -> None:
        """Enter chunks that join parts of an open round, behind those of its batch: its second half begins.

        Args:
            round_: The one after the last that was closed.
            batch: Its batch.
            first: The number that the first of these chunks has.
            state: As for ``begin_rounds``.
            entries: Place -> the chunk that only nodes of that place may claim, each with its ``turn``.

        Raises:
            Busy: The lease is another's.
            OutOfStep: It is not the open round, or not its batch.
            errors.RunOver: The run was stopped, or is gone.
        """
        rest = [word for place, entry in entries.items() for word in (place, *list(_turns([entry]))[1:])]
        state_now = self.ledger.step(
            "enter_joins", self.run, {"parts": keys.parts(self.run, batch)}, fence=self.fence, round=round_,
            batch=batch, first=first, state=_json(state), rest=rest,
        )  # fmt: skip
        if not self._held(state_now):
            raise errors.RunOver(f"the run {self.run} is {state_now.decode()}")

    def feed(self, share: float, slots: int) -> list[str]:
        """Put messages of the run's outbox into its queue, as many as may be there: see ``feed`` in ``prelude.lua``.

        Nodes go on with it whenever they begin or end a chunk, by the share that was told here last.

        Args:
            share: How many slots the run is to have of those that serve it.
            slots: All that serve it.

        Returns:
            The requirements of all other runs with chunks that wait; one for each run.

        Raises:
            Busy: The lease is another's.
        """
        state, *requirements = self.ledger.step(
            "feed", self.run, {"waiting": keys.WAITING}, fence=self.fence, share=share, slots=slots,
            share_ms=int(SHARE_S * 1000),
        )  # fmt: skip
        if state == b"fenced":
            raise Busy(self.run)
        return [requirement.decode(errors="replace") for requirement in requirements]

    def redeliver(self, units: Sequence[Unit], event: str, why: str) -> list[Unit]:
        """Release the claims of these chunks and partials, before they are redelivered.

        Returns:
            Those that are still to be done.

        Raises:
            Busy: The lease is another's.
        """
        answer = self.ledger.step(
            "redeliver", self.run, fence=self.fence, why=why, event=event,
            units=map(str, units),
        )  # fmt: skip
        if answer == [b"fenced"]:
            raise Busy(self.run)
        return [names.unit(name.decode()) for name in answer]

    def speculate(self, chunk: int, slow_node: str, why: str) -> bool:
        """Allow a speculative copy of a chunk; False when it has had one, is settled, or the lease is lost."""
        is_allowed = self.ledger.step(
            "speculate", self.run, fence=self.fence, chunk=chunk, slow_node=slow_node, why=why,
        )  # fmt: skip
        return bool(is_allowed)

    def _held(self, state: bytes) -> bool:
        if state == b"fenced":
            raise Busy(self.run)
        if state == b"out of step":
            raise OutOfStep
        return state == b"running"


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=tuple)  # a named tuple is none for orjson


def _turns(entries: Sequence[ChunkEntry]) -> Iterator[int | str | bytes]:
    """The chunks of a round as the scripts take them.

    Raises:
        ValueError: One is no turn of a shard.
    """
    for entry in entries:
        if entry.turn is None:
            raise ValueError(f"the chunk {entry.names} is no turn of a shard")
        ring = entry.turn.ring
        place = "" if ring is None else f" {names.ring_place(ring.site)}"
        yield from (entry.batch, f"{entry.turn.shard}{place}", entry.pack())


def _take(ledger: Ledger, run: str, owner: str, role: Role, fence: str) -> Any:
    return ledger.step(
        "take_lease", run, owner=owner, role=role, lease_ms=int(LEASE_S * 1000), fence=fence
    )  # fmt: skip
