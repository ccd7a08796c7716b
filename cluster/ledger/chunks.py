"""Chunks: claimed, attempted, settled.

A chunk is settled once: the first commit wins, whatever else comes later. ``settle.lua`` does that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cluster import keys, names
from cluster.ledger.records import (
    MOST_KILLS,
    MOST_LOSSES,
    Attempts,
    Claim,
    Claims,
    Commit,
    Committed,
    Piece,
    Running,
    Trigger,
    Worker,
)
from cluster.ledger.steps import Steps, decoded, terms
from cluster.names import Unit
from cluster.redis_rows import ClaimRow

if TYPE_CHECKING:
    import redis

    from cluster.wire import ChunkEntry


class Chunks:
    """The chunks of all runs. Every method may be called again; the second call changes nothing."""

    def __init__(self, client: redis.Redis, step: Steps) -> None:
        self._redis = client
        self._step = step

    def claim(
        self, run: str, chunks: Sequence[int], worker: Worker, capability: str = "", places: Iterable[str] = ()
    ) -> Claims:  # fmt: skip
        """Start chunks; not one whose attempts are used up: see its policy, ``MOST_KILLS`` and ``MOST_LOSSES``.

        Args:
            run: Their run.
            chunks: Their indices. Of several, one that has failed, ended a process or was lost is not claimed: as long
                as it is not known which of them did that, all that were claimed with it are blamed.
            worker: Who starts them.
            capability: By whose queue the message came, "" for any: it is left alone where the run has another one.
            places: Where the worker is: a chunk that has a place is claimed there alone.
        """
        answer = self._step(
            "claim", run, node=worker.node, incarnation=worker.incarnation, capability=capability,
            places=f" {' '.join(places)} ", max_killed=MOST_KILLS, max_lost=MOST_LOSSES, chunks=chunks,
        )  # fmt: skip
        state, *rest = answer
        if state != b"ready":
            return Claims(state.decode())
        of = dict(zip(chunks, map(_claim, rest[4:]), strict=True))
        return Claims(state.decode(), *terms(rest), of)

    def entry(self, run: str, chunk: int) -> bytes | None:
        """Return the ledger's entry of a chunk; None if the chunk is settled or unknown."""
        found: Any = self._redis.hget(keys.run(run, "chunks"), str(chunk))
        return found if isinstance(found, bytes) else None

    def release(self, run: str, worker: Worker, *units: Unit) -> None:
        """Give up its claims of chunks or partials without an attempt; those of others stay."""
        if units:
            self._step("release_claims", run, incarnation=worker.incarnation, again=0, units=map(str, units))

    def reject(self, run: str, chunks: Iterable[int], worker: Worker, why: str) -> bool:
        """A node gives chunks back without an attempt, as it cannot do them, whatever is in them.

        Returns:
            Whether it is this node's first rejection of the run, which the run's history tells of.
        """
        return bool(self._step("reject", run, node=worker.node, incarnation=worker.incarnation, why=why, chunks=chunks))

    def end_attempt(self, run: str, unit: Unit, how: str, worker: Worker, why: str) -> Attempts | None:
        """Enter that an attempt gave nothing.

        Args:
            run: Its run.
            unit: The chunk or partial.
            how: "failed", "killed" or "lost": see ``Attempts``.
            worker: Who made it.
            why: For the run's history.

        Returns:
            All that have ended so; None where there is nothing to do again: it is settled, the run is over, or (if
            "lost") that worker had not begun it.
        """
        answer = self._step(
            "end_attempt", run, unit=str(unit), how=how, incarnation=worker.incarnation, node=worker.node, why=why
        )  # fmt: skip
        return Attempts(*answer[1:4]) if answer[0] == b"noted" else None

    def begin_items(self, run: str, chunk: int, worker: Worker, why: str) -> int:
        """Have a chunk done item by item from now on; gives how many of its items are over.

        Earlier attempts at the chunk no longer count: from now on the ledger counts those at its next item.
        """
        return self._enter_piece(run, chunk, "", b"", "item-by-item", worker, why)

    def enter_piece(self, run: str, chunk: int, over: int, piece: Piece, worker: Worker, why: str = "") -> int:
        """Enter what the next item of a chunk gave that is done item by item.

        Args:
            run: Its run.
            chunk: Which one.
            over: How many of its items were over before.
            piece: What the item gave.
            worker: Who did it.
            why: It is given up, for the run's history.

        Returns:
            How many are over now, as another node may have been faster; -1 where the chunk or the run is over.
        """
        return self._enter_piece(run, chunk, over, piece.pack(), "dead-lettered" if why else "", worker, why)

    def _enter_piece(
        self, run: str, chunk: int, over: int | str, piece: bytes, event: str, worker: Worker, why: str
    ) -> int:  # fmt: skip
        now = self._step(
            "enter_piece", run, chunk=chunk, over=over, piece=piece, event=event, node=worker.node, why=why
        )  # fmt: skip
        return int(now)

    def items_over(self, run: str, chunk: int) -> int | None:
        """How many items of a chunk are over that is done item by item; None of any other chunk."""
        found: Any = self._redis.hget(keys.run(run, "pieces"), str(chunk))
        return None if found is None else int(found)

    def pieces(self, run: str, chunk: int, items: int) -> list[Piece]:
        """Return the results of a chunk's items.

        Raises:
            wire.BadMessage: A piece is gone, or cannot be read.
        """
        found: Any = self._redis.hmget(keys.run(run, "pieces"), [names.piece(chunk, item) for item in range(items)])
        return [Piece.unpack(piece or b"") for piece in found]

    def commit(self, run: str, done: Iterable[Commit], worker: Worker) -> Committed:
        """Hand in the parts of chunks. The first commit of (run, chunk) wins."""
        batches: dict[int, list[Commit]] = {}
        for one in done:
            batches.setdefault(one.entry.batch, []).append(one)
        states: dict[int, str] = {}
        complete: dict[int, Trigger] = {}
        for batch, together in batches.items():
            each, trigger = self._settle(run, batch, together, worker)
            states |= each
            complete |= {batch: trigger} if trigger else {}
        return Committed(states, complete)

    def dead_letter(self, run: str, chunk: int, entry: ChunkEntry, reason: str, worker: Worker) -> Committed:
        """Give a chunk up: all its items fail with ``reason``. Answers like ``commit``."""
        given_up = Commit(chunk, entry, failures=dict.fromkeys(entry.names, reason), why=reason)
        return self.commit(run, [given_up], worker)

    def unsettled(self, run: str) -> list[int]:
        """Chunks that are entered and not settled, in no order."""
        names: Any = self._redis.hkeys(keys.run(run, "chunks"))
        return list(map(int, names))

    def waiting(self, run: str, places: Iterable[str] | None = None) -> set[int]:
        """Chunks that are entered, and that no node works on; without those of other places than these (None: all)."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hkeys(keys.run(run, "chunks"))
            pipe.hkeys(keys.run(run, "claims"))
            pipe.hgetall(keys.run(run, "places"))
            chunks, claims, there = pipe.execute()
        known = None if places is None else {place.encode() for place in places}
        others = {chunk for chunk, place in there.items() if known is not None and place not in known}
        return {int(chunk) for chunk in set(chunks) - set(claims) - others}

    def running(self, run: str) -> list[Running]:
        """List the chunks that nodes are working on, also those of a node that is lost and not yet known to be."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(keys.run(run, "claims"))
            (seconds, micros), claims = pipe.execute()
        found = []
        for name, row in decoded(claims).items():
            with contextlib.suppress(ValueError):  # what no node of ours wrote
                chunk, claim = names.unit(name), ClaimRow.parse(row)
                if isinstance(chunk, int):
                    age_s = seconds + micros / 1e6 - claim.since_ms / 1000
                    found.append(Running(chunk, Worker(claim.node, claim.incarnation), max(0.0, age_s)))
        return found

    def pace(self, run: str) -> dict[str, float]:
        """Node -> seconds it takes for a chunk of this run, in the mean; those that have done some."""
        return {node: seconds / chunks for node, (chunks, seconds) in self._done(run).items()}

    def done(self, run: str) -> tuple[int, float]:
        """How many chunks of this run are done, and the seconds it took for them; without those given up."""
        done = self._done(run).values()
        return sum(chunks for chunks, _ in done), sum(seconds for _, seconds in done)

    def claimed(self, run: str) -> int:
        """How many chunks and partials nodes work on."""
        found: Any = self._redis.hlen(keys.run(run, "claims"))
        return int(found)

    def _done(self, run: str) -> dict[str, tuple[int, float]]:
        """Node -> how many chunks it committed, and the seconds it took for them."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.run(run, "nodes"))
            pipe.hgetall(keys.run(run, "times"))
            chunks, times_us = (decoded(row) for row in pipe.execute())
        return {node: (int(chunks[node]), int(times_us[node]) / 1e6) for node in times_us if node in chunks}

    def _settle(
        self, run: str, batch: int, done: Sequence[Commit], worker: Worker
    ) -> tuple[dict[int, str], Trigger | None]:
        """Settle chunks of one batch; return their states, and the batch's trigger if they complete it."""
        rows: list[Any] = []
        for one in done:
            rows += [one.chunk, one.part, one.entry.items, one.entry.size_bytes, round(one.seconds * 1e6), one.why]
            rows += [len(one.failures), *(word for pair in one.failures.items() for word in pair)]
        answer = self._step(
            "settle", run, {"parts": keys.parts(run, batch)},
            batch=batch, node=worker.node, rows=rows,
        )  # fmt: skip
        states = [word.decode() for word in answer]
        trigger: Trigger | None = None
        if states[-2:-1] == ["complete"]:
            trigger = "ledger" if states[-1] == "ledger" else "chord"
            del states[-2:]
        if len(states) < len(done):  # the run's
            states *= len(done)
        return {one.chunk: state for one, state in zip(done, states, strict=True)}, trigger


def _claim(answer: Sequence[Any]) -> Claim:
    state = answer[0].decode()
    if state in ("claimed", "exhausted"):
        return Claim(state, Attempts(*answer[1:4]), answer[4], int(answer[5]) if answer[5] else None)
    return Claim(state)
