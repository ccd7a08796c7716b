"""The truth about runs, in Redis: which chunks are settled, what they gave, what is missing.

What must happen at once is one Lua script; each opens with the keys it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from cluster import errors, keys
from cluster.runs import FAN_IN
from cluster.runs.status import Status, from_ledger

if TYPE_CHECKING:
    import redis

    from cluster.wire import ChunkEntry


class Claim(NamedTuple):
    """The answer to a node that wants to start a chunk.

    ``state`` is "claimed", or why there is nothing to do: "settled" (a repeat), "exhausted" (started
    too often), "unknown" (no such run or chunk), "other job", or the state of a run that is over.
    """

    state: str
    attempt: int = 0
    entry: bytes = b""
    options: Mapping[str, Any] = {}
    last_claim: str = ""


class FoldInputs(NamedTuple):
    """What a fold joins, if ``state`` is "ready"; ``fold_inputs.lua`` lists the others."""

    state: str
    attempts: int = 0
    """How often it was started, if that is too often ("exhausted")."""
    entries: Mapping[str, bytes] = {}
    """Chunk (level 0) or "level:number" -> part entry, in the order of the input."""


class Progress(NamedTuple):
    """What a coordinator looks at many times a second."""

    state: str
    chunks_settled: int
    bytes_settled: int
    windows_folded: int


class Ledger:
    """All runs of one cluster. Every method may be called again; the second call changes nothing."""

    def __init__(self, client: redis.Redis, retention_s: int) -> None:
        self._redis = client
        self._retention_s = retention_s
        self._scripts: dict[str, Any] = {}

    # The coordinator's side

    def create(self, run: str, job: str, options: Mapping[str, Any], submitter: str) -> None:
        """Open a run; its state is "running" from now on."""
        now: Any = self._redis.time()
        seconds, micros = now
        fields: dict[Any, Any] = {
            "job": job,
            "options": orjson.dumps(options),
            "state": "running",
            "submitter": submitter,
            "started_at": f"{seconds}.{micros:06d}",
            "chunks_published": 0,
        }
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(keys.run(run), mapping=fields)
            pipe.expire(keys.run(run), self._retention_s)
            pipe.zadd(keys.RUNS, {run: seconds + micros / 1e6})
            pipe.expire(keys.RUNS, 2 * self._retention_s)
            pipe.zremrangebyscore(keys.RUNS, "-inf", seconds - 2 * self._retention_s)
            pipe.execute()

    def open_window(self, run: str, window: int, first_chunk: int, entries: Sequence[ChunkEntry]) -> str:
        """Enter chunks that are about to be published, and the window they form; gives the run's state."""
        return self._word(
            "open_window",
            [keys.run(run, name) for name in ("", "chunks", "windows")],
            [window, first_chunk, self._retention_s, *(entry.pack() for entry in entries)],
        )

    def fail_items(self, run: str, failures: Mapping[str, str], items: int) -> None:
        """Enter items that could not even be read; they were in no chunk."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(keys.run(run, "failures"), mapping=_fields(failures))
            pipe.expire(keys.run(run, "failures"), self._retention_s)
            pipe.hincrby(keys.run(run), "items_settled", items)
            pipe.expire(keys.run(run), self._retention_s)
            pipe.execute()

    def expect_items(self, run: str, items: int) -> None:
        """Enter how many items the run will have, as soon as that is known."""
        self._call("expect_items", [keys.run(run)], [items])

    def end_split(self, run: str, *, chunks: int, windows: int, items: int) -> str:
        """The input is read to its end; gives the run's state."""
        return self._word("end_split", [keys.run(run)], [chunks, windows, items])

    def progress(self, run: str) -> Progress:
        """How far the run is.

        Raises:
            errors.RunFailed: It is gone.
        """
        names = ["state", "chunks_settled", "bytes_settled", "windows_folded"]
        found: Any = self._redis.hmget(keys.run(run), names)
        if found[0] is None:
            raise errors.RunFailed(f"the run {run} is gone from Redis (was it emptied or restarted?)")
        return Progress(found[0].decode(), *(int(value or 0) for value in found[1:]))

    def touch(self, run: str) -> None:
        """Keep the run from expiring."""
        with self._redis.pipeline(transaction=False) as pipe:
            for name in ("", "done", "chunks", "claims", "windows", "folds", "failures", "nodes"):
                pipe.expire(keys.run(run, name), self._retention_s)
            pipe.execute()

    def stop(self, run: str, state: str, error: str) -> tuple[bool, str]:
        """End a run before its end as "cancelled" or "failed".

        Returns:
            Whether this call did it, and the state the run is in now ("unknown" for no such run).
        """
        was_running, now = self._call("stop", [keys.run(run)], [state, error])
        return bool(was_running), now.decode()

    def forget_work(self, run: str) -> None:
        """Drop what a stopped run still had to do; its blobs are the caller's to drop before."""
        with self._redis.pipeline(transaction=False) as pipe:
            for window in self.open_windows(run):
                pipe.unlink(keys.parts(run, window))
            for name in ("chunks", "windows", "claims", "done"):
                pipe.unlink(keys.run(run, name))
            pipe.execute()

    def unsettled(self, run: str) -> Iterator[int]:
        """Chunks that are entered and not settled, in no order."""
        for name, _ in self._redis.hscan_iter(keys.run(run, "chunks"), count=1000):
            yield int(name)

    def open_windows(self, run: str) -> dict[int, range]:
        """Windows that are entered and not folded, with their chunks."""
        found: Any = self._redis.hgetall(keys.run(run, "windows"))
        rows = {int(window): [int(word) for word in row.split()] for window, row in found.items()}
        return {window: range(first, first + count) for window, (first, count) in sorted(rows.items())}

    # A node's side

    def claim(self, run: str, chunk: int, job: str, node: str, *, max_attempts: int, again: bool) -> Claim:
        """Start a chunk.

        Args:
            run: Its run.
            chunk: Its index.
            job: Whose message it was; another job's run is left alone.
            node: Who starts it.
            max_attempts: How many starts it is allowed.
            again: Whether an earlier start is known to have failed. Only then another attempt is counted.
        """
        answer = self._call(
            "claim",
            [keys.run(run, name) for name in ("", "done", "claims", "chunks")],
            [chunk, node, max_attempts, job, int(again), self._retention_s],
        )
        state = answer[0].decode()
        if state == "exhausted":
            return Claim(state, int(answer[1]), answer[2], last_claim=answer[3].decode())
        if state != "claimed":
            return Claim(state)
        return Claim(state, int(answer[1]), answer[2], orjson.loads(answer[3]))

    def commit(
        self, run: str, chunk: int, part: bytes, entry: ChunkEntry,
        failures: Mapping[str, str], node: str,
    ) -> str:  # fmt: skip
        """Hand in a chunk's part. The first commit of (run, chunk) wins.

        Returns:
            "settled now", or why it was dropped: "settled", "unknown", or the state of a run that is over.
        """
        return self._settle(run, chunk, part, entry, failures, node)

    def set_aside(self, run: str, chunk: int, entry: ChunkEntry, reason: str, node: str) -> str:
        """Give a chunk up: all its items fail with ``reason``. Answers like ``commit``."""
        return self._settle(run, chunk, b"", entry, dict.fromkeys(entry.names, reason), node)

    def count_retry(self, run: str) -> None:
        """Count an attempt that failed and is made again."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hincrby(keys.run(run), "retries", 1)
            pipe.expire(keys.run(run), self._retention_s)  # where the run is gone, this makes a key anew
            pipe.execute()

    def fold_inputs(
        self, run: str, level: int, number: int, job: str, *, max_attempts: int, again: bool, busy_s: int
    ) -> FoldInputs:
        """Start a fold: what it joins, if all of it is there.

        Args:
            run: Its run.
            level: 0 for a window.
            number: Of the window, or of the family at its level.
            job: Whose message it was.
            max_attempts: How many starts it is allowed.
            again: Whether an earlier start is known to have failed.
            busy_s: An earlier start that is not known to have failed is left alone for so long.
        """
        window = number if level == 0 else -1
        answer = self._call(
            "fold_inputs",
            [
                *(keys.run(run, name) for name in ("", "done", "windows")),
                keys.parts(run, window),
                *(keys.run(run, name) for name in ("folds", "claims")),
            ],
            [level, number, FAN_IN, job, int(again), max_attempts, busy_s, self._retention_s],
        )
        state = answer[0].decode()
        if state == "exhausted":
            return FoldInputs(state, int(answer[1]))
        if state != "ready":
            return FoldInputs(state)
        found = {name.decode(): entry for name, entry in zip(answer[1::2], answer[2::2], strict=True)}
        ordered = sorted(found, key=lambda name: int(name.rpartition(":")[2]))
        return FoldInputs(state, entries={name: found[name] for name in ordered})

    def commit_fold(self, run: str, level: int, number: int, entry: bytes) -> str:
        """Hand in a fold; its inputs go. The last window's fold ends the run.

        Returns:
            "folded now"; "family complete" (now, and all its siblings are there: fold them);
            or why it was dropped: "folded", "unknown", or the state of a run that is over.
        """
        window = number if level == 0 else -1
        return self._word(
            "fold",
            [
                keys.run(run),
                keys.run(run, "windows"),
                keys.parts(run, window),
                keys.run(run, "folds"),
                keys.run(run, "claims"),
            ],
            [level, number, entry, FAN_IN, self._retention_s],
        )

    # For whoever asks

    def status(self, run: str, *, failures: bool = True) -> Status:
        """All that is known of a run; without ``failures`` only their number.

        Raises:
            errors.UnknownRun: There is no such run.
        """
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.run(run))
            pipe.hlen(keys.run(run, "failures"))
            pipe.hlen(keys.run(run, "claims"))
            pipe.hgetall(keys.run(run, "nodes"))
            if failures:
                pipe.hgetall(keys.run(run, "failures"))
            fields, failed, running, nodes, *rest = pipe.execute()
        if b"state" not in fields:
            raise errors.UnknownRun(f"no run {run!r} in this cluster (`cluster runs` lists them)")
        return from_ledger(
            run,
            {name.decode(): value.decode() for name, value in fields.items()},
            {item.decode(): reason.decode() for item, reason in (rest[0] if rest else {}).items()},
            {node.decode(): int(chunks) for node, chunks in nodes.items()},
            failed=failed,
            running=running,
        )

    def runs(self, most: int) -> list[Status]:
        """The latest runs, newest first, at most so many, without their failures."""
        found: list[Status] = []
        names: Any = self._redis.zrevrange(keys.RUNS, 0, -1)
        for name in names:
            if len(found) == most:
                break
            try:
                found.append(self.status(name.decode(), failures=False))
            except errors.UnknownRun:
                continue  # it has expired: see ``expired``
        return found

    def folds(self, run: str) -> list[tuple[int, int, bytes]]:
        """The parts that are the result as (level, number, part entry), in the order of the input."""
        found: Any = self._redis.hgetall(keys.run(run, "folds"))
        rows = [(*map(int, name.decode().split(":")), entry) for name, entry in found.items()]
        return sorted(rows, key=lambda row: row[1] * FAN_IN ** row[0])

    # Housekeeping

    def expired(self) -> list[str]:
        """Runs that have expired here, and may have left blobs elsewhere; oldest first."""
        names: Any = self._redis.zrange(keys.RUNS, 0, -1)
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(keys.run(name.decode()))
            return [name.decode() for name, there in zip(names, pipe.execute(), strict=True) if not there]

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

    def unsend(self, queue: str, runs: Collection[str]) -> None:
        """Take the messages of these runs out of a queue of Celery's; a node that got one first drops it."""
        waiting: Any = self._redis.lrange(queue, 0, -1)
        with self._redis.pipeline(transaction=False) as pipe:
            for message in waiting:
                if _run_of(message) in runs:
                    pipe.lrem(queue, 0, message)
            pipe.execute()

    def _settle(
        self, run: str, chunk: int, part: bytes, entry: ChunkEntry,
        failures: Mapping[str, str], node: str,
    ) -> str:  # fmt: skip
        return self._word(
            "settle",
            [
                *(keys.run(run, name) for name in ("", "done", "claims", "chunks")),
                keys.parts(run, entry.window),
                *(keys.run(run, name) for name in ("failures", "nodes")),
            ],
            [
                chunk, part, entry.items, entry.size_bytes, node, self._retention_s,
                *(word for pair in failures.items() for word in pair),
            ],
        )  # fmt: skip

    def _word(self, name: str, keys_: list[str], arguments: list[Any]) -> str:
        return str(self._call(name, keys_, arguments), "ascii")

    def _call(self, name: str, keys_: list[str], arguments: list[Any]) -> Any:
        return self._script(name)(keys=keys_, args=arguments)

    def _script(self, name: str) -> Callable[..., Any]:
        if name not in self._scripts:
            text = (files("cluster.runs") / f"{name}.lua").read_text(encoding="utf-8")
            self._scripts[name] = self._redis.register_script(text)
        script: Callable[..., Any] = self._scripts[name]
        return script


def _fields(table: Mapping[str, str]) -> dict[Any, Any]:
    """For redis-py, whose type of a hash's fields no dict of strings fits."""
    return dict(table)


def _run_of(message: bytes) -> str:
    """The run that a message of Celery's is about, "" for one that is not ours: ids are made in ``celery_tasks``."""
    try:
        return str(orjson.loads(message)["headers"]["id"]).partition(".")[0]
    except (ValueError, KeyError, TypeError):
        return ""
