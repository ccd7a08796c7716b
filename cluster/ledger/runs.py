"""Runs as a whole: opened, looked at, stopped, forgotten.

A run's row is a hash; ``row`` lists its fields. The methods of ``lease`` are the coordinator's alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from cluster import errors, keys, names, older
from cluster.ledger.records import Progress
from cluster.ledger.rounds import row_of
from cluster.ledger.row import Belongs, RunPolicy, RunRow, Share
from cluster.ledger.status import Event, Status, from_ledger
from cluster.ledger.steps import Steps, awaited, decoded
from cluster.names import Capability

if TYPE_CHECKING:
    import redis

OF_WORK = (
    "chunks", "expected", "batches", "claims", "done", "attempts", "speculative", "outbox", "queued", "pieces",
    "shards", "opened", "arrivals", "late", "stays", "places",
)  # fmt: skip
"""Keys that are removed when a run is stopped."""
ASKED = 7
"""Answers that the status of a run is made of."""
MOST_ASKED = 200
"""Runs whose status is asked for at once."""


class Runs:
    """All runs of one cluster. Every method may be called again; the second call changes nothing."""

    def __init__(self, client: redis.Redis, step: Steps) -> None:
        self._redis = client
        self._step = step

    def create(
        self, run: str, job: str, version: str, options: Mapping[str, Any], submitter: str, requirement: str = "",
        policy: RunPolicy | None = None, origin: str = "", seen: str = "", belongs: Belongs | None = None,
    ) -> None:  # fmt: skip
        """Open a run; its state is "running" from now on.

        Args:
            run: Its id.
            job: Its job's name.
            version: Of the job.
            options: All of them, with their values.
            submitter: Who it is.
            requirement: What a node must serve to do it, by default the job and its version.
            policy: What its submitter has set for it; None: the defaults.
            origin: The command that opens it, and ``seen`` the input it finds: see ``begun_by``.
            seen: As ``origin``.
            belongs: Whose it is.
        """
        kept = (policy or RunPolicy())._asdict()
        belongs = belongs or Belongs()
        row = {
            "version": version,
            "requirement": requirement or str(Capability(job, version)),
            "options": orjson.dumps(options),
            **({"origin": origin, "seen": seen} if origin else {}),
            **belongs.fields,
        }
        self._step(
            "create", run, {"runs": keys.RUNS}, job=job, submitter=submitter, owner=belongs.owner,
            retention_s=kept.pop("retention_s"), follows=belongs.follows,
            fields=[word for pair in {**row, **kept}.items() for word in pair],
        )  # fmt: skip

    def expect_items(self, run: str, items: int) -> None:
        """Enter how many items the run will have, as soon as that is known."""
        self._step("expect_items", run, items=items)

    def stop(self, run: str, state: str, error: str, fence: str | None = None) -> tuple[bool, str]:
        """End a run before its end as "cancelled" or "failed"; with ``fence``, only while that lease is held.

        Returns:
            Whether this call did it, and the state the run is in now ("unknown" for no such run).
        """
        was_running, now = self._step("stop", run, state=state, error=error, fence=fence or "")
        return bool(was_running), now.decode()

    def pause(self, run: str, why: str) -> str:
        """Begin no more chunks of a run; what is being worked on is committed.

        Returns:
            "running" where it is paused now, also by an earlier call; "in rounds", "unknown", or the state of a run
            that is over.
        """
        return str(self._step("pause", run, why=why), "ascii")

    def go_on(self, run: str, owner: str) -> bool:
        """Go on with a run that is paused; whether it was."""
        return bool(self._step("go_on", run, node=owner))

    def begun_by(self, origin: str) -> dict[str, RunRow]:
        """The runs that the same command opened, whose result it has not written: going on or done. The latest first.

        Their rows have what tells whether another process coordinates them, see ``lease.py``.
        """
        listed = self.listed()[::-1]
        fields = ("origin", "seen", "paused", "coordinator", "role", "lease_until_ms", "chunks_total")
        now_s, rows = self.rows(listed, *fields)
        found = {run: row for run, row in rows.items() if row and row.origin == origin}
        return {
            run: replace(row, coordinator=row.coordinator if row.lease_until_ms > now_s * 1000 else "")
            for run, row in found.items()
            if row.state in ("running", "done")
        }

    def free(self, run: str) -> None:
        """Let go of the lease of a process that is known to have ended, so that the next one need not wait."""
        if row := self.row(run, "fence"):
            self._step("release_lease", run, fence=row.fence)

    def settle(self, run: str) -> None:
        """The command that opened the run has written its result: the same command opens another one."""
        self._redis.hdel(keys.run(run), "origin")

    def belongs(self, run: str) -> Belongs:
        """Whose it is.

        Raises:
            errors.UnknownRun: There is no such run.
            errors.RunFailed: What Redis holds of it is not what we write.
        """
        row = self.row(run, "owner", "shown_to", "follows", "upload", "publishes")
        if row is None:
            raise self.unknown(run)
        return row.belongs

    def share(self, run: str, share: Share) -> bool:
        """Say who sees a run besides its owner; whether there is such a run, and it has an owner."""
        return bool(self._step("share", run, shown_to=share))

    def touch(self, run: str) -> None:
        """Keep the run from expiring."""
        self._step("touch", run)

    def forget_work(self, run: str) -> None:
        """Drop what a stopped run still had to do; its blobs are the caller's to drop before."""
        entered: Any = self._redis.hkeys(keys.run(run, "batches"))
        with self._redis.pipeline(transaction=False) as pipe:
            for batch in entered:
                pipe.unlink(keys.parts(run, int(batch)))
            for name in OF_WORK:
                pipe.unlink(keys.run(run, name))
            pipe.execute()

    def row(self, run: str, *fields: str) -> RunRow | None:
        """These fields of the run's row, and defaults for the others; None if it is gone.

        Raises:
            errors.RunFailed: What Redis holds is not what we write.
        """
        wanted = ("state", *fields)
        found: Any = self._redis.hmget(keys.run(run), wanted)
        return None if found[0] is None else _read(run, dict(zip(wanted, found, strict=True)))

    def policy(self, run: str) -> RunPolicy:
        """Read the limits that the run's submitter has set."""
        found: Any = self._redis.hmget(keys.run(run), RunPolicy._fields)
        return RunPolicy.read(found)

    def requirement(self, run: str) -> str:
        """Read the capability that a node needs to do the run; "" if the run is gone."""
        row = self.row(run, "requirement")
        return row.requirement if row else ""

    def progress(self, run: str) -> Progress:
        """How far the run is.

        Raises:
            errors.RunFailed: It is gone.
        """
        row = self.row(run, *Progress._fields[1:-2], "chunks_total", "paused")
        if row is None:
            raise errors.RunFailed(f"the run {run} is gone from Redis (was it emptied or restarted?)")
        return Progress(
            row.state, row.chunks_published, row.chunks_settled, row.bytes_settled, row.batches_complete,
            row.batches_aggregated, split_ended=bool(row.chunks_total is not None), paused=bool(row.paused),
        )  # fmt: skip

    def status(self, run: str, *, failures: bool = True) -> Status:
        """All that is known of a run; without ``failures`` only their number.

        Raises:
            errors.UnknownRun: There is no such run.
            errors.RunFailed: What Redis holds of it is not what we write.
        """
        with self._redis.pipeline(transaction=False) as pipe:  # in a transaction a full Redis does not even read
            ask(pipe, run)
            if failures:
                pipe.hgetall(keys.run(run, "failures"))
            answers = pipe.execute()
        if b"state" not in answers[0]:
            raise self.unknown(run)
        return told(run, answers)

    def statuses(self, runs: Sequence[str]) -> list[Status]:
        """The status of each of these runs, without their failures; those that are gone or cannot be read are left out.

        Some hundreds at most: all is asked for at once.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            for run in runs:
                ask(pipe, run)
            answers = pipe.execute(raise_on_error=False)
        found = []
        for at, run in enumerate(runs):
            own = answers[at * ASKED : (at + 1) * ASKED]
            if not any(isinstance(answer, Exception) for answer in own) and b"state" in own[0]:
                with contextlib.suppress(errors.RunFailed):
                    found.append(told(run, own))
        return found

    def events(self, run: str, after: str = "") -> list[Event]:
        """The history of a run, oldest first: its last two thousand changes, or those after the event with that id."""
        found: Any = self._redis.xrange(keys.run(run, "events"), f"({after}" if after else "-")
        return [Event.from_ledger(at.decode(), decoded(fields)) for at, fields in found]

    def await_event(self, run: str, after: str, most_s: float) -> str:
        """Wait until the run's history goes on, for at most ``most_s``; gives its last event's id.

        Args:
            run: Whose end, say, is waited for.
            after: What the call before gave; "" at first, which may return at once.
            most_s: Seconds to wait at most.
        """
        lines = awaited(self._redis, keys.run(run, "events"), after, most_s)
        return lines[-1][0].decode() if lines else after

    def unknown(self, run: str) -> errors.UnknownRun:
        """The error about a run that is not here; it says so where the version before has it."""
        return older.unknown_run(self._redis, run)

    def older(self) -> dict[str, str]:
        """The runs of the version before that have not ended, the latest first -> what they need, for people."""
        return older.running(self._redis)

    def latest(self, most: int) -> list[Status]:
        """Return the latest runs, newest first, at most ``most``, without their failures."""
        found: list[Status] = []
        at = 0
        while len(found) < most and (listed := self.latest_names(at, min(most, MOST_ASKED))):
            at += len(listed)
            found += self.statuses(_runs(listed))  # without those that have expired (see ``expired``)
        return found[:most]

    def latest_names(self, begin: int, most: int) -> list[bytes]:
        """Of all runs that were opened, the latest first, ``most`` from number ``begin`` on; some may have expired."""
        found: Any = self._redis.zrevrange(keys.RUNS, begin, begin + most - 1)
        return list(found)

    def count_missing(self, run: str) -> int:
        """How many items are missing from the result, as known by now."""
        found: Any = self._redis.hlen(keys.run(run, "failures"))
        return int(found)

    def missing(self, run: str) -> list[str]:
        """The names of these, in no order."""
        found: Any = self._redis.hkeys(keys.run(run, "failures"))
        return [name.decode(errors="replace") for name in found]

    def batches(self, run: str) -> int:
        """How many batches a run has in all; 0 as long as its input is being read."""
        row = self.row(run, "batches_total")
        return row.batches_total if row else 0

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


def ask(pipe: Any, run: str) -> None:
    """Ask for what the status of a run is made of: ``ASKED`` answers."""
    pipe.hgetall(keys.run(run))
    pipe.time()
    pipe.hlen(keys.run(run, "failures"))
    pipe.hlen(keys.run(run, "claims"))
    pipe.hgetall(keys.run(run, "nodes"))
    pipe.hgetall(keys.run(run, "rejections"))
    pipe.xrevrange(keys.run(run, "curve"), count=1)


def told(run: str, answers: Sequence[Any]) -> Status:
    """The status of a run by the answers to ``ask``, which its failures may follow.

    Raises:
        errors.RunFailed: What Redis holds of it is not what we write.
    """
    fields, (seconds, micros), failed, running, nodes, rejections, curve, *rest = answers
    try:
        return from_ledger(
            run,
            RunRow.read({name.decode(errors="replace"): value for name, value in fields.items()}),
            decoded(rest[0] if rest else {}),
            {node: int(chunks) for node, chunks in decoded(nodes).items()},
            decoded(rejections),
            failed=failed,
            running=running,
            now_s=seconds + micros / 1e6,
            curve_row=row_of(run, curve[0][1]) if curve else None,
        )
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise errors.RunFailed(f"what Redis holds of the run {run} cannot be read: {error}") from error


def _read(run: str, given: Mapping[str, bytes | None]) -> RunRow:
    try:
        return RunRow.read(given)
    except (ValueError, OverflowError) as error:
        raise errors.RunFailed(f"what Redis holds of the run {run} cannot be read: {error}") from error


def _runs(found: Any) -> list[str]:
    """Keep only names of runs: files are removed by these names, and anybody may have written other texts there."""
    return [name for raw in found if names.is_run(name := raw.decode(errors="replace"))]
