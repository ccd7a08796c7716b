"""The truth about runs, in Redis: which chunks are settled, what they gave, what is missing.

What must happen at once is one Lua script; each opens with the keys it touches. What only a run's
coordinator may do is in ``lease``.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from cluster import errors, keys, names, older
from cluster.ledger.records import (
    FAN_IN,
    MOST_KILLS,
    MOST_LOSSES,
    Attempts,
    Claim,
    Claims,
    Committed,
    Done,
    PartialInputs,
    Piece,
    Progress,
    Running,
    Trigger,
    Unusable,
    Worker,
)
from cluster.ledger.row import RunPolicy, RunRow
from cluster.ledger.status import Event, Status, from_ledger
from cluster.names import Capability, ClaimRow, Partial, Unit
from cluster.scripts import Scripts

if TYPE_CHECKING:
    import redis

    from cluster.wire import ChunkEntry

PUBLISHING_S = 600
"""Who began to make a model of a result and has not ended by then is taken for dead."""


OF_WORK = (
    "chunks", "expected", "batches", "claims", "done", "attempts", "speculative", "outbox", "queued", "pieces",
)  # fmt: skip
"""What goes with a run that is stopped."""


class Ledger:
    """All runs of one cluster. Every method may be called again; the second call changes nothing."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._scripts = Scripts(client, "cluster.ledger")

    def step(self, name: str, run: str, others: Mapping[str, str] | None = None, **arguments: Any) -> Any:
        """The answer of a script that is about one run.

        Args:
            name: Of the script.
            run: Its keys are found by the names that the script has for them.
            others: Its other keys, by name.
            arguments: By the names that the script has for them.
        """
        found = dict(others or {})
        for key in self._scripts.takes(name).keys:
            if key not in found:
                found[key] = keys.run(run, "" if key == "run" else key)
        return self._scripts(name, found, **arguments)

    # A submitter's side

    def create(
        self, run: str, job: str, version: str, options: Mapping[str, Any], submitter: str, label: str = "",
        policy: RunPolicy | None = None,
    ) -> None:  # fmt: skip
        """Open a run; its state is "running" from now on.

        Args:
            run: Its id.
            job: Its job's name.
            version: Of the job.
            options: All of them, with their values.
            submitter: Who it is.
            label: What a node must serve to do it, by default the job and its version.
            policy: What its submitter has set for it; None: the defaults.
        """
        kept = (policy or RunPolicy())._asdict()
        row = {"version": version, "label": label or str(Capability(job, version)), "options": orjson.dumps(options)}
        self.step(
            "create", run, {"runs": keys.RUNS}, job=job, submitter=submitter, retention_s=kept.pop("retention_s"),
            fields=[word for pair in {**row, **kept}.items() for word in pair],
        )  # fmt: skip

    def expect_items(self, run: str, items: int) -> None:
        """Enter how many items the run will have, as soon as that is known."""
        self.step("expect_items", run, items=items)

    def stop(self, run: str, state: str, error: str, fence: str | None = None) -> tuple[bool, str]:
        """End a run before its end as "cancelled" or "failed"; with ``fence``, only while that lease is held.

        Returns:
            Whether this call did it, and the state the run is in now ("unknown" for no such run).
        """
        was_running, now = self.step("stop", run, state=state, error=error, fence=fence or "")
        return bool(was_running), now.decode()

    def touch(self, run: str) -> None:
        """Keep the run from expiring."""
        self.step("touch", run)

    def forget_work(self, run: str) -> None:
        """Drop what a stopped run still had to do; its blobs are the caller's to drop before."""
        with self._redis.pipeline(transaction=False) as pipe:
            for batch in self.open_batches(run):
                pipe.unlink(keys.parts(run, batch))
            for name in OF_WORK:
                pipe.unlink(keys.run(run, name))
            pipe.execute()

    # A node's side

    def claim(self, run: str, chunks: Sequence[int], worker: Worker, label: str = "") -> Claims:
        """Start chunks; not one whose attempts are used up: see its policy, ``MOST_KILLS`` and ``MOST_LOSSES``.

        Args:
            run: Their run.
            chunks: Their indices. Of several, one that has failed, ended a process or was lost is not claimed: as long
                as it is not known which of them did that, all that were claimed with it are blamed.
            worker: Who starts them.
            label: By whose queue the message came, "" for any: it is left alone where the run has another one.
        """
        answer = self.step(
            "claim", run, node=worker.node, start=worker.start, label=label,
            max_killed=MOST_KILLS, max_lost=MOST_LOSSES, chunks=chunks,
        )  # fmt: skip
        state, *rest = answer
        if state != b"ready":
            return Claims(state.decode())
        of = dict(zip(chunks, map(_claim, rest[4:]), strict=True))
        return Claims(state.decode(), *_terms(rest), of)

    def entry(self, run: str, chunk: int) -> bytes | None:
        """What stands in the ledger of a chunk that is not settled."""
        found: Any = self._redis.hget(keys.run(run, "chunks"), str(chunk))
        return found if isinstance(found, bytes) else None

    def release(self, run: str, worker: Worker, *units: Unit) -> None:
        """Give up its claims of chunks or partials without an attempt; those of others stay."""
        if units:
            self.step("release_claims", run, start=worker.start, again=0, units=map(str, units))

    def refuse(self, run: str, chunks: Iterable[int], worker: Worker, why: str) -> bool:
        """A node gives chunks back without an attempt, as it cannot do them, whatever is in them.

        Returns:
            Whether it is this node's first refusal of the run, which the run's history tells of.
        """
        return bool(self.step("refuse", run, node=worker.node, start=worker.start, why=why, chunks=chunks))

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
        answer = self.step(
            "end_attempt", run, unit=str(unit), how=how, start=worker.start, node=worker.node, why=why
        )  # fmt: skip
        return Attempts(*answer[1:4]) if answer[0] == b"noted" else None

    def begin_items(self, run: str, chunk: int, worker: Worker, why: str) -> int:
        """Have a chunk done item by item from now on; gives how many of its items are over.

        Attempts at it so far count no more: from now on they are those at its next item.
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
        now = self.step(
            "enter_piece", run, chunk=chunk, over=over, piece=piece, event=event, node=worker.node, why=why
        )  # fmt: skip
        return int(now)

    def items_over(self, run: str, chunk: int) -> int | None:
        """How many items of a chunk are over that is done item by item; None of any other chunk."""
        found: Any = self._redis.hget(keys.run(run, "pieces"), str(chunk))
        return None if found is None else int(found)

    def pieces(self, run: str, chunk: int, items: int) -> list[Piece]:
        """What the items of a chunk gave.

        Raises:
            wire.BadMessage: A piece is gone, or cannot be read.
        """
        found: Any = self._redis.hmget(keys.run(run, "pieces"), [names.piece(chunk, item) for item in range(items)])
        return [Piece.unpack(piece or b"") for piece in found]

    def commit(self, run: str, done: Iterable[Done], worker: Worker) -> Committed:
        """Hand in the parts of chunks. The first commit of (run, chunk) wins."""
        batches: dict[int, list[Done]] = {}
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
        given_up = Done(chunk, entry, failures=dict.fromkeys(entry.names, reason), why=reason)
        return self.commit(run, [given_up], worker)

    def partial_inputs(self, run: str, level: int, number: int, worker: Worker, label: str = "") -> PartialInputs:
        """Start to aggregate: the parts to join, if all of them are there.

        Args:
            run: Its run.
            level: 0 for a batch.
            number: Of the batch, or of the family at its level.
            worker: Who starts it. Another one that has not ended is waited for as long as the run's policy allows.
            label: As for ``claim``.
        """
        answer = self.step(
            "partial_inputs", run, {"parts": keys.parts(run, number if level == 0 else -1)},
            level=level, number=number, fan_in=FAN_IN, label=label, start=worker.start, node=worker.node,
            max_killed=MOST_KILLS, max_lost=MOST_LOSSES,
        )  # fmt: skip
        state, *rest = answer
        if state == b"exhausted":
            return PartialInputs(state.decode(), attempts=Attempts(*rest[:3]))
        if state != b"ready":
            return PartialInputs(state.decode())
        names = [name.decode() for name in rest[5::3]]  # in the order of the input
        entries, expected = (dict(zip(names, rest[at::3], strict=True)) for at in (6, 7))
        return PartialInputs(state.decode(), *_terms(rest), Attempts(failed=rest[4]), entries, expected)

    def commit_partial(
        self, run: str, level: int, number: int, inputs: Collection[str], entry: bytes,
        unusable: Iterable[Unusable] = (),
    ) -> str:  # fmt: skip
        """Hand in a partial; its inputs go. The last batch's partial ends the run.

        Args:
            run: Its run.
            level: 0 for a batch.
            number: Of the batch, or of the family at its level.
            inputs: The names of the parts that were joined, as ``partial_inputs`` gave them. The partial is dropped
                where the ledger is not at that point any more, as its Redis lost its last moments.
            entry: Where it lies, see ``parts``.
            unusable: Chunks of a batch whose parts are not in it; their items are missing.

        Returns:
            "aggregated now"; "family complete" (now, and all its siblings are there: aggregate them);
            or why it was dropped: "aggregated", "unknown", or the state of a run that is over.
        """
        about = [word for one in unusable for word in (one.chunk, one.why, len(one.names), *one.names)]
        answer = self.step(
            "commit_partial", run, {"parts": keys.parts(run, number if level == 0 else -1)},
            level=level, number=number, entry=entry, fan_in=FAN_IN,
            about=len(about), rest=[*about, *inputs],
        )  # fmt: skip
        return str(answer, "ascii")

    # For whoever asks

    def row(self, run: str, *fields: str) -> RunRow | None:
        """These fields of the run's row, and defaults for the others; None if it is gone.

        Raises:
            errors.RunFailed: What Redis holds is not what we write.
        """
        wanted = ("state", *fields)
        found: Any = self._redis.hmget(keys.run(run), wanted)
        return None if found[0] is None else _read(run, dict(zip(wanted, found, strict=True)))

    def policy(self, run: str) -> RunPolicy:
        """What the run's submitter has set for it."""
        found: Any = self._redis.hmget(keys.run(run), RunPolicy._fields)
        return RunPolicy.read(found)

    def report(self, run: str) -> dict[str, Any] | None:
        """What ``enter_report`` was given; None if there is none yet."""
        row = self.row(run, "report")
        return row.report if row else None

    def begin_report(self, run: str, owner: str) -> bool:
        """Whether this one is to make a model of the run's result; nobody else is within ``PUBLISHING_S``."""
        return bool(self._redis.set(keys.run(run, "publishing"), owner, nx=True, ex=PUBLISHING_S))

    def give_up_report(self, run: str) -> None:
        """Whoever began has failed: another one may try."""
        self._redis.delete(keys.run(run, "publishing"))

    def enter_report(self, run: str, report: Mapping[str, Any]) -> None:
        """Tell about the model that a run which is over has given."""
        if self._redis.exists(keys.run(run)):
            self._redis.hset(keys.run(run), "report", orjson.dumps(report))

    def label(self, run: str) -> str:
        """What a node must serve to do the run; "" if it is gone."""
        row = self.row(run, "label")
        return row.label if row else ""

    def progress(self, run: str) -> Progress:
        """How far the run is.

        Raises:
            errors.RunFailed: It is gone.
        """
        row = self.row(run, *Progress._fields[1:-1], "chunks_total")
        if row is None:
            raise errors.RunFailed(f"the run {run} is gone from Redis (was it emptied or restarted?)")
        return Progress(
            row.state, row.chunks_published, row.chunks_settled, row.bytes_settled, row.batches_complete,
            row.batches_aggregated, split_ended=bool(row.chunks_total is not None),
        )  # fmt: skip

    def status(self, run: str, *, failures: bool = True) -> Status:
        """All that is known of a run; without ``failures`` only their number.

        Raises:
            errors.UnknownRun: There is no such run.
            errors.RunFailed: What Redis holds of it is not what we write.
        """
        with self._redis.pipeline(transaction=False) as pipe:  # in a transaction a full Redis does not even read
            pipe.hgetall(keys.run(run))
            pipe.time()
            pipe.hlen(keys.run(run, "failures"))
            pipe.hlen(keys.run(run, "claims"))
            pipe.hgetall(keys.run(run, "nodes"))
            pipe.hgetall(keys.run(run, "refusals"))
            if failures:
                pipe.hgetall(keys.run(run, "failures"))
            fields, (seconds, micros), failed, running, nodes, refusals, *rest = pipe.execute()
        if b"state" not in fields:
            raise self.unknown(run)
        try:
            return from_ledger(
                run,
                RunRow.read({name.decode(errors="replace"): value for name, value in fields.items()}),
                _text(rest[0] if rest else {}),
                {node: int(chunks) for node, chunks in _text(nodes).items()},
                _text(refusals),
                failed=failed,
                running=running,
                now_s=seconds + micros / 1e6,
            )
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            raise errors.RunFailed(f"what Redis holds of the run {run} cannot be read: {error}") from error

    def events(self, run: str) -> list[Event]:
        """the history of a run, oldest first: its last two thousand changes."""
        found: Any = self._redis.xrange(keys.run(run, "events"))
        return [Event.from_ledger(at.decode(), _text(fields)) for at, fields in found]

    def await_event(self, run: str, after: str, most_s: float) -> str:
        """Wait until the run's history goes on, or for so long; gives its last event's id.

        Args:
            run: Whose end, say, is waited for.
            after: What the call before gave; "" at first, which may return at once.
            most_s: In seconds.
        """
        found: Any = self._redis.xread({keys.run(run, "events"): after or "0"}, count=1000, block=int(most_s * 1000))
        if found:
            events = found[0][1] if isinstance(found, list) else next(iter(found.values()))[-1]
            return str(events[-1][0].decode())
        return after

    def unknown(self, run: str) -> errors.UnknownRun:
        """The error about a run that is not here; it says so where the version before has it."""
        return older.unknown_run(self._redis, run)

    def older(self) -> dict[str, str]:
        """The runs of the version before that have not ended, the latest first -> what they need, for people."""
        return older.running(self._redis)

    def runs(self, most: int) -> list[Status]:
        """The latest runs, newest first, at most so many, without their failures."""
        found: list[Status] = []
        names: Any = self._redis.zrevrange(keys.RUNS, 0, -1)
        for name in _runs(names):
            if len(found) == most:
                break
            try:
                found.append(self.status(name, failures=False))
            except (errors.UnknownRun, errors.RunFailed):
                continue  # it has expired (see ``expired``), or cannot be read
        return found

    def unsettled(self, run: str) -> list[int]:
        """Chunks that are entered and not settled, in no order."""
        names: Any = self._redis.hkeys(keys.run(run, "chunks"))
        return list(map(int, names))

    def open_batches(self, run: str) -> dict[int, range]:
        """Batches that are entered and not aggregated, with their chunks."""
        found: Any = self._redis.hgetall(keys.run(run, "batches"))
        rows = {int(batch): names.BatchRow.parse(row.decode(errors="replace")) for batch, row in found.items()}
        return {batch: row.chunks for batch, row in sorted(rows.items())}

    def running(self, run: str) -> list[Running]:
        """What nodes are working on. A lost node's chunks are among them until that is known."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(keys.run(run, "claims"))
            (seconds, micros), claims = pipe.execute()
        found = []
        for name, row in _text(claims).items():
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

    def partials(self, run: str) -> list[tuple[int, int, bytes]]:
        """The parts that are the result as (level, number, part entry), in the order of the input.

        Raises:
            errors.RunFailed: Another thing is among them.
        """
        found: Any = self._redis.hgetall(keys.run(run, "partials"))
        rows = []
        for name, entry in found.items():
            try:
                rows.append((*Partial.parse_field(name.decode()), entry))
            except ValueError:
                raise errors.RunFailed(f"the result of the run {run} is damaged: it has a part {name!r}") from None
        return sorted(rows, key=lambda row: row[1] * FAN_IN ** row[0])

    def batches(self, run: str) -> int:
        """How many batches a run has in all; 0 as long as its input is being read."""
        row = self.row(run, "batches_total")
        return row.batches_total if row else 0

    def count_unsettled(self, run: str) -> int:
        """How many chunks are entered and not settled."""
        found: Any = self._redis.hlen(keys.run(run, "chunks"))
        return int(found)

    def claimed(self, run: str) -> int:
        """How many chunks and partials nodes work on."""
        found: Any = self._redis.hlen(keys.run(run, "claims"))
        return int(found)

    def states(self, runs: Sequence[str]) -> list[str]:
        """The state of each; "" for what is no run, or gone."""
        with self._redis.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.hget(keys.run(run), "state")
            found = pipe.execute(raise_on_error=False)
        return [state.decode(errors="replace") if isinstance(state, bytes) else "" for state in found]

    def outbox(self, run: str) -> list[bytes]:
        """The run's messages that are not in the queue yet."""
        found: Any = self._redis.lrange(keys.run(run, "outbox"), 0, -1)
        return list(found)

    def drop_outboxes(self, runs: Collection[str]) -> None:
        """Forget the messages of these runs that are not in the queue yet."""
        if runs:
            self._redis.unlink(*(keys.run(run, "outbox") for run in runs))

    def listed(self) -> list[str]:
        """All runs that were opened, those that have expired among them; oldest first."""
        found: Any = self._redis.zrange(keys.RUNS, 0, -1)
        return [name.decode(errors="replace") for name in found]

    def rows(self, runs: Sequence[str], *fields: str) -> tuple[float, dict[str, RunRow | None]]:
        """The moment by Redis's clock in seconds since 1970, and these fields of the rows of some runs.

        None stands for a run that has expired, or a row that is not ours.
        """
        wanted = ("state", "job", *fields)
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for run in runs:
                pipe.hmget(keys.run(run), wanted)
            (seconds, micros), *rows = pipe.execute(raise_on_error=False)
        read: dict[str, RunRow | None] = {}
        for run, row in zip(runs, rows, strict=True):
            read[run] = None
            if not isinstance(row, Exception) and row[0] is not None and row[1] is not None:
                with contextlib.suppress(errors.RunFailed):
                    read[run] = _read(run, dict(zip(wanted, row, strict=True)))
        return seconds + micros / 1e6, read

    # Housekeeping

    def expired(self) -> list[str]:
        """Runs that have expired here, and may have left blobs elsewhere; oldest first."""
        names = _runs(self._redis.zrange(keys.RUNS, 0, -1))
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(keys.run(name))
            return [name for name, there in zip(names, pipe.execute(), strict=True) if not there]

    def now(self) -> datetime:
        """The moment, by Redis's clock."""
        seconds, micros = self._redis.time()
        return datetime.fromtimestamp(seconds + micros / 1e6, UTC)

    def forget(self, runs: Collection[str]) -> None:
        """Drop all that the ledger holds of these, whatever it is. One walk over the keys of this Redis."""
        if not runs:
            return
        for key in self._redis.scan_iter(match=keys.run("*"), count=1000):
            if keys.run_of(key.decode()) in runs:
                self._redis.unlink(key)
        self._redis.zrem(keys.RUNS, *runs)  # last: a second call finds what this one left

    def _done(self, run: str) -> dict[str, tuple[int, float]]:
        """Node -> how many chunks it committed, and the seconds it took for them."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.run(run, "nodes"))
            pipe.hgetall(keys.run(run, "times"))
            chunks, times_us = (_text(row) for row in pipe.execute())
        return {node: (int(chunks[node]), int(times_us[node]) / 1e6) for node in times_us if node in chunks}

    def _settle(
        self, run: str, batch: int, done: Sequence[Done], worker: Worker
    ) -> tuple[dict[int, str], Trigger | None]:
        """Their states, and the trigger of the batch where it is complete with them."""
        rows: list[Any] = []
        for one in done:
            rows += [one.chunk, one.part, one.entry.items, one.entry.size_bytes, round(one.seconds * 1e6), one.why]
            rows += [len(one.failures), *(word for pair in one.failures.items() for word in pair)]
        answer = self.step(
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


def _read(run: str, given: Mapping[str, bytes | None]) -> RunRow:
    try:
        return RunRow.read(given)
    except (ValueError, OverflowError) as error:
        raise errors.RunFailed(f"what Redis holds of the run {run} cannot be read: {error}") from error


def _terms(answer: Sequence[Any]) -> tuple[str, str, dict[str, Any], RunPolicy]:
    """Job, version, options and policy, with which the answers of ``claim`` and ``partial_inputs`` begin."""
    job, version, options, policy = answer[:4]
    return (job or b"").decode(), (version or b"").decode(), orjson.loads(options or b"{}"), _policy(policy)


@functools.lru_cache(maxsize=64)  # the chunks of a run have the same one
def _policy(given: bytes) -> RunPolicy:
    return RunPolicy.read(orjson.loads(given))


def _claim(answer: Sequence[Any]) -> Claim:
    state = answer[0].decode()
    if state in ("claimed", "exhausted"):
        return Claim(state, Attempts(*answer[1:4]), answer[4], int(answer[5]) if answer[5] else None)
    return Claim(state)


def _runs(found: Any) -> list[str]:
    """Those that are names of runs: files are removed by them, and anybody may have written something else there."""
    return [name for raw in found if names.is_run(name := raw.decode(errors="replace"))]


def _text(row: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in row.items()}
