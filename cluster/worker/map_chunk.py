"""Do the chunks of a message on a node. Imports no Celery: ``worker.tasks`` wraps this module."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import redis
from billiard.exceptions import SoftTimeLimitExceeded

from cluster import blobs, errors, keys, wire
from cluster.blobs import Ref
from cluster.job import Job
from cluster.ledger import parts
from cluster.ledger.records import (
    MOST_KILLS,
    Attempts,
    Claim,
    Claims,
    Commit,
    Committed,
    Piece,
    Trigger,
    Worker,
    as_reason,
)
from cluster.ledger.row import RunPolicy
from cluster.rounds import Bound
from cluster.settings import Settings
from cluster.stores import Stores
from cluster.wire import ChunkEntry, MapMessage, Note, TurnEntry
from cluster.worker import edge, seats, turns
from splitters import Item

ELSEWHERE_S = 1.0
"""Seconds until a speculative copy comes again that reached the slow node itself and went back, for another node."""
OTHER_PLACE_S = 0.2
"""Seconds until a chunk comes again that only nodes of another place can do."""
RECENT_EVENTS = 100
"""Of a run's history, among which the last failure of a chunk is looked for."""
LONG_S = 1.0
"""A message has been worked on for long enough: its chunks that are not begun are for others."""
FULL_SHARE = 10.0
"""An item had the time limit for itself if it took 10 times as long as all work before it in the same message."""
OVER = ("done", "failed", "cancelled")
LEFT = "left to others, as the chunks before it took long"
log = logging.getLogger(__name__)
_problems: dict[str, str] = {}


Find = Callable[[str, str], Job]
"""Gives the job of a name and a version, or raises ``errors.JobUnavailable`` with the reason: see ``catalog.find``."""


class _TooLarge(Exception):
    """A chunk holds what the owner of this machine does not want to be done here."""


class TryAgain(NamedTuple):
    """A message is to come again, with these chunks only: they failed and have attempts left, or are for others."""

    delay_s: float
    reason: str
    chunks: tuple[int, ...]
    """At least one: of those that are for others the first keeps the message, as its chord counts it."""
    apart: tuple[int, ...] = ()
    """Each of these is to come by a message of its own."""


def run(
    message: MapMessage, find: Find, stores: Stores, config: Settings, worker: Worker, capability: str = "",
    on_complete: Callable[[int, Trigger], None] = lambda batch, trigger: None,
    stays: Callable[[], bool] = lambda: False,
) -> TryAgain | str:  # fmt: skip
    """Claim the chunks of a message; of each, fetch and verify its bytes and do it; commit their parts.

    A chunk that raises is tried again, up to the run's ``max_attempts`` times in all, then given up with
    the reason; so is one whose attempts ended in other ways too often (see ``Chunks.claim``). One of several items is
    done item by item after the first attempt that raised, took too long or ended its process; then this holds of each
    item. So one bad item never fails its neighbours. Run twice, the first commit wins. Parts of several chunks are
    committed together; what is
    not begun after ``LONG_S`` is left to others.

    Args:
        message: Names the chunks.
        find: Looks up the run's job on this machine. Where it is not there, the chunks are for other nodes.
        stores: The ledger and the blobs.
        config: What the owner of this machine allows.
        worker: Who does it.
        capability: By whose queue it came; chunks of a run of another one are left alone.
        on_complete: Called with the number of a batch that is complete with a chunk of these, and the trigger that
            starts joining its parts.
        stays: Whether this slot is to do the same shard in the next round, of a run in rounds; asked after its turn.

    Returns:
        ``TryAgain``, or how it ended, for the log.

    Raises:
        redis.RedisError: Redis refuses, or is away for longer than the client is patient.
        errors.OtherProcess: This process cannot do it, another one of this node can.
    """
    return _Work(
        message.run, find, stores, config, worker, capability, on_complete, stays
    ).do(message.chunks)  # fmt: skip


class _Work:
    """The work on the chunks of one message."""

    _job: Job
    """The run's job; set once chunks of the run are claimed."""

    def __init__(
        self, run: str, find: Find, stores: Stores, config: Settings, worker: Worker, capability: str,
        on_complete: Callable[[int, Trigger], None], stays: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._run = run
        self._stays = stays
        self._find = find
        self._stores = stores
        self._config = config
        self._worker = worker
        self._capability = capability
        self._on_complete = on_complete
        self._policy = RunPolicy()
        self._began = time.monotonic()
        self._begun = 0
        self._timed_out = False
        self._apart: list[int] = []  # to be claimed each by itself
        self._left: list[int] = []  # for others, as there is no time for them
        self._again: dict[int, tuple[float, str]] = {}
        self._over: dict[int, int | None] = {}  # of chunks that are done item by item, the items that are over
        self._ended: list[str] = []

    def do(self, chunks: Sequence[int]) -> TryAgain | str:
        """Do the chunks; see ``run``."""
        claims = self._claim(chunks)
        if claims.state != "ready":
            return claims.state
        self._do_claimed(claims)
        for chunk in self._apart:
            if self._is_over():
                self._left.append(chunk)
            else:
                self._do_claimed(self._claim([chunk]))
        if self._again:
            reasons = dict.fromkeys(reason for _, reason in self._again.values())
            delay_s = max(delay_s for delay_s, _ in self._again.values())
            return TryAgain(delay_s, "; ".join(reasons), tuple(self._again), tuple(self._left))
        if self._left:
            return TryAgain(0.0, LEFT, (self._left[0],), tuple(self._left[1:]))
        how = Counter(self._ended)
        return "".join(how) if len(self._ended) == 1 else ", ".join(f"{number} {what}" for what, number in how.items())

    def _claim(self, chunks: Sequence[int]) -> Claims:
        places = edge.places(self._config)
        return self._stores.ledger.chunks.claim(self._run, chunks, self._worker, self._capability, places)

    def _is_over(self) -> bool:
        """Whether what is not begun by now is for others, so as not to wait here: the time limit is that of a chunk."""
        return self._timed_out or (self._begun > 0 and time.monotonic() - self._began > LONG_S)

    def _do_claimed(self, claims: Claims) -> None:
        """Do those that were claimed, and see to the others."""
        self._policy = claims.policy
        claimed = {}
        for chunk, claim in claims.of.items():
            if claim.state == "claimed":
                claimed[chunk] = claim
            elif claim.state == "exhausted":
                self._give_up(chunk, claim.entry, claim.over, self._why_exhausted(chunk, claim.attempts))
            elif claim.state == "elsewhere":
                self._again[chunk] = ELSEWHERE_S, claim.state
            elif claim.state == "other place":
                self._again[chunk] = OTHER_PLACE_S, claim.state
            elif claim.state == "apart":
                self._apart.append(chunk)
            else:
                self._ended.append(claim.state)
        if not claimed or (options := self._prepare(claims, claimed)) is None:
            return
        done = []
        left = list(claimed)
        while left and not self._is_over():
            chunk = left.pop(0)
            if (part := self._do_one(chunk, claimed[chunk], options)) is not None:
                done.append(part)
        self._commit(done)
        self._stores.ledger.chunks.release(self._run, self._worker, *left)
        self._left += left

    def _why_exhausted(self, chunk: int, attempts: Attempts) -> str:
        """Why a chunk has no attempts left: what the last one failed of, where nobody else could say so yet."""
        if attempts.killed < MOST_KILLS and not attempts.lost:
            for event in reversed(self._stores.ledger.listings.last_events(self._run, RECENT_EVENTS)):
                if (event.event, event.chunk) == ("failed", str(chunk)) and event.why:
                    return event.why
        return _exhausted(attempts)

    def _prepare(self, claims: Claims, claimed: Mapping[int, Claim]) -> Mapping[str, Any] | None:
        """Find the job; its options as they are on this machine, None where these chunks cannot be done here."""
        ledger = self._stores.ledger
        problem = over_time_limit(self._config, claims.policy) or self._find_job(claims)
        try:
            if not problem:
                return self._stores.models.options(self._job, claims.options)
        except errors.OtherProcess:
            ledger.chunks.release(self._run, self._worker, *claimed)
            raise
        except (errors.NotInstalled, OSError) as error:  # the fault of this machine, and of no chunk
            problem = str(error)
        except (errors.ClusterError, ValueError) as error:
            for chunk, claim in claimed.items():
                self._failed(chunk, claim.entry, error)
            return None
        reject(self._run, claimed, self._stores, self._worker, problem)
        self._again |= dict.fromkeys(claimed, (ELSEWHERE_S, problem))
        return None

    def _find_job(self, claims: Claims) -> str:
        """Why this machine cannot do the run's job, or ""."""
        try:
            self._job = job = self._find(claims.job, claims.version)
        except errors.JobUnavailable as error:
            return str(error)
        return "" if job.bundles else _unfit(job, job.requirement(claims.options))

    def _do_one(self, chunk: int, claim: Claim, options: Mapping[str, Any]) -> Commit | None:
        """Do one chunk; return its commit, or None where there is nothing to commit."""
        self._begun += 1
        self._over[chunk] = claim.over
        began = time.monotonic()
        try:
            entry = ChunkEntry.unpack(claim.entry)
            if entry.turn is not None:
                return Commit(chunk, entry, self._do_turn(entry.turn, entry, options), {}, time.monotonic() - began)
            if claim.over is None and len(entry.names) > 1 and claim.attempts.failed + claim.attempts.killed:
                why = "an attempt at all of its items ended badly"
                self._over[chunk] = self._stores.ledger.chunks.begin_items(self._run, chunk, self._worker, why)
            if self._over[chunk] is None:
                whole = self._do_items(chunk, entry, range(len(entry.names)), options, claim.attempts.failed)
            elif not self._do_rest(chunk, claim, entry, options):
                return None
            else:
                whole = self._join(chunk, entry, options)
        except _TooLarge as error:
            self._stores.ledger.chunks.reject(self._run, [chunk], self._worker, str(error))
            self._again[chunk] = ELSEWHERE_S, str(error)
        except wire.BadMessage as error:  # will not get better
            self._give_up(chunk, claim.entry, self._over[chunk], str(error))
        except redis.RedisError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a job raises is one failed attempt
            self._failed(chunk, claim.entry, error)
        else:
            return Commit(chunk, entry, whole.part, whole.failures, time.monotonic() - began)
        return None

    def _do_items(
        self, chunk: int, entry: ChunkEntry, which: range, options: Mapping[str, Any], failed: int
    ) -> Piece:  # fmt: skip
        """Do some items of a chunk, after ``failed`` failed attempts."""
        items, failures = self._fetch(chunk, entry, which, last_attempt=failed + 1 >= self._policy.max_attempts)
        self._check_size(items, options)
        part = self._job.run_task(items, options)
        names = [entry.names[at] for at in which]
        # Names that are not of this chunk would count against others.
        told = {name: as_reason(part.failures[name]) for name in names if name in part.failures}
        return Piece(self._place(part.value, names, entry), {**told, **failures})

    def _do_turn(self, turn: TurnEntry, entry: ChunkEntry, options: Mapping[str, Any]) -> bytes:
        """The entry of a shard's part in a round, of what stands for it, or of what is joined of several."""
        seen = turns.seen(self._run, self._stores)
        if turn.notes is not None:
            told = self._do_join(turn.notes, entry, seen.bound(self._job, options))
            return self._place_told({**told, "stays": self._stays()}, entry)
        try:
            of_ring: dict[str, Any] = {}
            seat = seats.of(self._run, turn, self._config, self._stores.ledger.rounds, of_ring)
            told = {**seen.turn(turn, self._job, options, seat), **of_ring}
        except BaseException:
            turns.forget(self._run)  # what is kept of the shard may be half changed
            raise
        told["stays"] = self._stays()
        own = edge.own(self._config)
        if own is None or own.digest not in turn.edges:
            return self._place_told(told, entry)
        packed = wire.pack(told, self._policy.max_part_bytes)
        if len(packed) < edge.LEAST_BYTES:
            return self._place_told(told, entry)
        if (ref := own.put(self._run, entry.batch, packed)) is None:
            return self._place_told({**told, "lost_edge": own.digest}, entry)
        note = {"edge": own.digest, **ref._asdict()}
        return parts.INLINE + wire.pack({"note": note, "times": told["times"], "stays": told["stays"]})

    def _do_join(self, notes: list[Note], entry: ChunkEntry, bound: Bound) -> dict[str, Any]:
        """What is joined of the parts in the store of this site."""
        own = edge.own(self._config)
        if own is None:  # its owner has taken the setting back since the chunk was claimed
            raise errors.BadPart("this node has no store of a site (CLUSTER_EDGE_URL)")
        return own.join(self._run, entry, notes, bound, self._policy.max_part_bytes)

    def _place_told(self, told: Mapping[str, Any], entry: ChunkEntry) -> bytes:
        packed = wire.pack(told, self._policy.max_part_bytes)
        return parts.place(self._stores.blobs, keys.parts_scope(self._run, entry.batch), packed, self._policy)

    def _place(self, value: Any, names: Sequence[str], entry: ChunkEntry) -> bytes:
        """The entry of a part, once it is sure that its readers will take it."""
        packed = wire.pack(value, min(self._policy.max_part_bytes, entry.part_bytes))
        _check(self._job, value, names)
        scope = keys.parts_scope(self._run, entry.batch)
        return parts.place(self._stores.blobs, scope, packed, self._policy)

    def _do_rest(self, chunk: int, claim: Claim, entry: ChunkEntry, options: Mapping[str, Any]) -> bool:
        """Do the items of a chunk that are left, one by one; whether all are over now.

        What each gives is kept in the ledger. So one that takes too long, or ends the process, costs the others
        nothing; and the next message goes on where this one ended, before the time limit is used up.
        """
        ledger, first, over = self._stores.ledger, self._over[chunk] or 0, self._over[chunk] or 0
        while 0 <= over < len(entry.names):
            if over > first and self._is_over():
                ledger.chunks.release(self._run, self._worker, chunk)
                self._left.append(chunk)
                return False
            failed, began = claim.attempts.failed if over == claim.over else 0, time.monotonic()
            try:
                piece = self._do_items(chunk, entry, range(over, over + 1), options, failed)
            except SoftTimeLimitExceeded:
                if over == first or time.monotonic() - began >= FULL_SHARE * (began - self._began):
                    raise
                self._timed_out = True  # its neighbours had much of the time: the next message begins with it
                continue
            over = ledger.chunks.enter_piece(self._run, chunk, over, piece, self._worker)
            self._over[chunk] = over
        if over < 0:
            self._ended.append("settled elsewhere")
        return over >= 0

    def _join(self, chunk: int, entry: ChunkEntry, options: Mapping[str, Any]) -> Piece:
        """The part of a chunk whose items were done one by one."""
        pieces = self._stores.ledger.chunks.pieces(self._run, chunk, len(entry.names))
        failures = {name: why for piece in pieces for name, why in piece.failures.items() if name in entry.names}
        if not any(piece.part for piece in pieces):
            return Piece(failures=failures)
        scope = keys.parts_scope(self._run, entry.batch)
        most = min(self._policy.max_part_bytes, entry.part_bytes)
        found = (parts.load(self._stores.blobs, scope, piece.part, most) for piece in pieces if piece.part)
        return Piece(self._place(self._job.run_aggregate(found, options), entry.names, entry), failures)

    def _check_size(self, items: list[Item], options: Mapping[str, Any]) -> None:
        """Look at the pictures' headers, if the owner of this machine has a limit below the run's.

        Raises:
            _TooLarge: One is over that limit. Another node may do it.
        """
        most = self._config.max_megapixels
        if most is None or options.get("max_megapixels", 0) <= most:
            return
        if (size := self._job.largest_picture(items, options)) > most:
            raise _TooLarge(
                f"rejects pictures of over {most} megapixels (CLUSTER_MAX_MEGAPIXELS); this run has one of {size:.0f}"
            )

    def _fetch(
        self, chunk: int, entry: ChunkEntry, which: range, *, last_attempt: bool
    ) -> tuple[list[Item], dict[str, str]]:  # fmt: skip
        """These items, verified. Those whose bytes are wrong or gone are never used, and on the last attempt named.

        Raises:
            errors.BlobError: Bytes are wrong or gone, and there are attempts left: another node may have better luck.
        """
        refs = [Ref(*ref) for ref in entry.refs]
        if entry.data is None:
            fetched = blobs.get(self._stores.blobs, keys.input_scope(self._run, chunk), [refs[at] for at in which])
        else:
            given = list(zip(refs, entry.data, strict=True))
            fetched = [blobs.check(*given[at]) for at in which]
        items = []
        failures: dict[str, str] = {}
        for at, data in zip(which, fetched, strict=True):
            name, last = entry.names[at], entry.last[at]
            if isinstance(data, errors.BlobError):
                if not last_attempt:
                    raise data
                failures[name] = str(data)
                log.error(
                    "run %s, chunk %s, %s: %s", self._run, chunk, name, data,
                    extra={"event": "blob-wrong", "run": self._run, "chunk": chunk},
                )  # fmt: skip
            else:
                items.append(Item(name, data, last=last))
        return items, failures

    def _commit(self, done: list[Commit]) -> None:
        committed = self._stores.ledger.chunks.commit(self._run, done, self._worker)
        for one in done:
            if one.entry.data is None and committed.states[one.chunk] in ("settled now", "settled"):
                self._stores.blobs.drop(keys.input_scope(self._run, one.chunk))
            if one.part[:1] == parts.BLOB and committed.states[one.chunk] in ("late", *OVER):  # not there at the end
                self._stores.blobs.drop(keys.parts_scope(self._run, one.entry.batch))
        self._ended += committed.states.values()
        for batch, trigger in committed.complete.items():
            self._on_complete(batch, trigger)

    def _give_up(self, chunk: int, entry: bytes, over: int | None, reason: str) -> None:
        """Attempts are used up: of several items only the one that was tried is missing."""
        if give_up_item(self._run, chunk, self._stores, entry, over, reason, self._worker):
            self._stores.ledger.chunks.release(self._run, self._worker, chunk)
            self._apart.append(chunk)
            return
        committed = dead_letter(self._run, chunk, self._stores, entry, reason, self._worker)
        self._ended.append(f"given up ({committed.states[chunk]})")
        for batch, trigger in committed.complete.items():
            self._on_complete(batch, trigger)

    def _failed(self, chunk: int, entry: bytes, error: Exception) -> None:
        reason = as_reason(f"{type(error).__name__}: {error}")
        if isinstance(error, SoftTimeLimitExceeded):
            self._timed_out = True
            reason = "took longer than its time limit (CLUSTER_CHUNK_TIME_LIMIT_S where it was submitted)"
        attempts = self._stores.ledger.chunks.end_attempt(self._run, chunk, "failed", self._worker, reason)
        if attempts is None:
            self._ended.append("settled elsewhere")
            return
        log.warning(
            "run %s, chunk %s, attempt %s of %s on %s failed: %s",
            self._run, chunk, attempts.failed, self._policy.max_attempts, self._worker.node, reason,
            extra={"event": "failed", "run": self._run, "chunk": chunk},
        )  # fmt: skip
        if attempts.failed >= self._policy.max_attempts:
            self._give_up(chunk, entry, self._over.get(chunk), reason)
        else:
            self._again[chunk] = self._policy.delay_s(attempts.failed), reason


def give_up_item(
    run: str, chunk: int, stores: Stores, entry: bytes, over: int | None, reason: str, worker: Worker
) -> bool:  # fmt: skip
    """Go on with a chunk of several items whose attempts are used up; False where nothing is left to go on with.

    A chunk done as a whole (``over`` is None) is done item by item from now on; of any other the next item is missing.
    """
    try:
        names = ChunkEntry.unpack(entry).names
    except wire.BadMessage:
        return False
    if len(names) < 2 or (over is not None and not 0 <= over < len(names)):
        return False
    if over is None:
        stores.ledger.chunks.begin_items(run, chunk, worker, reason)
        return True
    log.error(
        "run %s, chunk %s, %s: given up: %s", run, chunk, names[over], reason,
        extra={"event": "dead-lettered", "run": run, "chunk": chunk},
    )  # fmt: skip
    why = f"{names[over]}: {reason}"
    stores.ledger.chunks.enter_piece(run, chunk, over, Piece(failures={names[over]: reason}), worker, why)
    return True


def dead_letter(run: str, chunk: int, stores: Stores, entry: bytes, reason: str, worker: Worker) -> Committed:
    """Give a chunk up: its items are missing from the result, for this reason."""
    log.error(
        "run %s, chunk %s is given up: %s", run, chunk, reason,
        extra={"event": "dead-lettered", "run": run, "chunk": chunk},
    )  # fmt: skip
    try:
        unpacked = ChunkEntry.unpack(entry)
    except wire.BadMessage:  # then the chunk itself is the one thing that can be named
        batch = _batch_of(run, chunk, stores)
        unpacked = ChunkEntry(names=[f"chunk {chunk}"], refs=[], last=[True], batch=batch)
    committed = stores.ledger.chunks.dead_letter(run, chunk, unpacked, reason, worker)
    if committed.states[chunk] in ("settled now", "settled"):
        stores.blobs.drop(keys.input_scope(run, chunk))
    return committed


def reject(run: str, chunks: Collection[int], stores: Stores, worker: Worker, why: str) -> None:
    """Give chunks back without an attempt, as this node cannot do them; its log says so once a run."""
    if stores.ledger.chunks.reject(run, chunks, worker, as_reason(why)):
        log.warning("run %s is rejected by this node: %s", run, why, extra={"event": "rejected", "run": run})


def over_time_limit(config: Settings, policy: RunPolicy) -> str:
    """Why this node leaves a run to others whose chunks may take longer than its owner allows; or ""."""
    most_s, allowed_s = config.max_time_limit_s, policy.soft_time_limit_s
    if most_s is None or allowed_s <= most_s:
        return ""
    return f"rejects chunks that may take over {most_s} s (CLUSTER_MAX_TIME_LIMIT_S); this run allows {allowed_s} s"


def _check(job: Job, value: Any, names: Sequence[str]) -> None:
    """Hold a part to what its readers hold it to.

    Raises:
        errors.BadPart: It is not what the job gives of this chunk.
    """
    try:
        job.check_part(value, set(names))
    except ValueError as error:
        raise errors.BadPart(f"its part is not what the job {job.name} gives: {error}") from None


def _unfit(job: Job, capability: str) -> str:
    """Why this machine cannot do a chunk that should not have come here, or "". Found out once in a process."""
    if capability != job.capability and capability not in _problems:
        _problems[capability] = job.why_not_here(job.needs_of(capability))
    return _problems.get(capability, "")


def _exhausted(attempts: Attempts) -> str:
    if attempts.killed >= MOST_KILLS:
        return f"its process was ended {attempts.killed} times, most likely because memory ran out"
    if attempts.lost:
        return f"the node that worked on it was lost, or handed it back, {attempts.lost} times"
    return f"it failed {attempts.failed} times"


def _batch_of(run: str, chunk: int, stores: Stores) -> int:
    """The batch of a chunk whose entry cannot be read."""
    rows = stores.ledger.partials.open_batches(run)
    return next((batch for batch, row in rows.items() if chunk in row.chunks), 0)
