"""Runs of a job that goes in rounds: the job's functions with a run's options, and such a run in one process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aggregators import Closed, Model, NoResult, Step
from cluster import errors, wire
from cluster.functions import taken
from cluster.inputs import Source, sift
from cluster.job import Job, Options, Outcome, Rounds
from splitters import Chunk, PassedOver
from tasks import Turn


class Bound(NamedTuple):
    """The functions of a job with rounds, with the options of a run and what its splitter tells."""

    job: Job
    options: Options
    about: bytes

    @property
    def rounds(self) -> Rounds:
        """The job's."""
        assert self.job.rounds is not None  # noqa: S101 - made for jobs that go in rounds
        return self.job.rounds

    def begin(self, base: Path | None) -> Step:
        """See ``Rounds.begin``.

        Raises:
            errors.UsageError: The options do not fit the input.
        """
        try:
            step: Step = self.rounds.begin(self.about, base, **taken(self.rounds.begin, self.options))
        except ValueError as error:
            raise errors.UsageError(str(error)) from None
        return step

    def turn(self, turn: Turn) -> Any:
        """Give a shard's value in a round, checked as those check it that read it.

        Raises:
            ValueError: It is none that the job gives.
        """
        value = self.job.task(turn, **taken(self.job.task, self.options))
        self.job.check_part(value)
        return value

    def step(self, state: Any, closed: Closed) -> Step:
        """See ``Rounds``."""
        step: Step = self.job.aggregate(state, closed, self.about, **taken(self.job.aggregate, self.options))
        return step

    def join(self, parts: Mapping[int, Any]) -> Any:
        """Give one value for those of several shards, checked as one of a shard is; see ``Rounds.join``.

        Raises:
            ValueError: They cannot be joined.
        """
        make = self.rounds.join
        assert make is not None  # noqa: S101 - the caller looked
        value = make(parts, self.about, **taken(make, self.options))
        self.job.check_part(value)
        return value

    def result(self, state: Any, rows: list[dict[str, Any]]) -> Any:
        """Make the result of the last state and the whole curve."""
        if self.job.finish is None:
            return state
        return self.job.finish(state, rows, self.about, **taken(self.job.finish, self.options))

    def checkpoint(self, state: Any, rows: list[dict[str, Any]]) -> Model:
        """Make the model of a state on the way; the job has such, see ``Rounds.checkpoint``."""
        make = self.rounds.checkpoint
        assert make is not None  # noqa: S101 - the caller looked
        made: Model = make(state, rows, self.about, **taken(make, self.options))
        return made

    def rest(self, parts: Mapping[int, Any]) -> tuple[dict[int, Any], dict[int, str]]:
        """Those of the parts that can be used, and of each other one why it cannot."""
        good, odd = {}, {}
        for shard in sorted(parts):
            try:
                self.job.check_part(parts[shard])
                good[shard] = parts[shard]
            except ValueError as error:
                odd[shard] = str(error)
        return good, odd


def about_of(chunk: Chunk) -> bytes:
    """What the splitter tells about the whole input.

    Raises:
        ValueError: Its first chunk is none that tells it.
    """
    if len(chunk) != 1 or chunk[0].problem:
        raise ValueError("the first chunk of a job with rounds must have one item, which tells about the input")
    return chunk[0].data


def locally(job: Job, source: Source, options: Options, base: Path | None = None) -> Outcome:
    """Do such a job in this process, without a broker: what it means.

    Each round is closed with the parts of all shards; where they go on apart, they take turns.
    """
    passed_over, failures = PassedOver(), dict[str, str]()
    chunks = job.chunks(source, options, passed_over)
    bound = Bound(job, options, about_of(next(chunks)))
    shards: list[Chunk] = []
    for chunk in chunks:
        readable, problems = sift(chunk)
        failures |= problems
        shards.append(readable)
    if not shards:
        raise errors.NothingToDo(f"the input has no shards for the job {job.name}")
    try:
        result, missing = _run(Course(bound, len(shards), base), shards)
    except NoResult as error:
        raise errors.RunFailed(str(error)) from None
    return Outcome(result, {**failures, **missing}, passed_over.shown())


class Seen(NamedTuple):
    """A view that nodes read."""

    version: int
    whole: bool
    size_bytes: int


class Batch(NamedTuple):
    """Turns that are done from one view, those of all shards or of one that goes on apart; as the ledger's entry."""

    number: int
    """The round in which it was entered."""
    shards: tuple[int, ...]
    kind: str
    seconds: float | None
    quorum: float
    version: int
    """Of the view."""
    view: Any
    views: tuple[Seen, ...]
    """From the last whole one on."""
    view_bytes: int
    """Of the views that a shard reads which has read those of its turn before."""

    def unread(self, seen: int) -> int:
        """Bytes of views that a process reads which holds the view of version ``seen``; -1: none."""
        return _unread(self.views, seen)


class Course:
    """A run between two rounds, in this process: its state, its views and its curve, and no clock.

    Who holds it does the turns of a batch, closes it with the parts that came, and enters the next ones.

    Args:
        bound: The run's functions.
        shards: How many it has.
        base: The folder of a model to begin with.

    Raises:
        errors.UsageError: The options do not fit the input.
    """

    def __init__(self, bound: Bound, shards: int, base: Path | None = None) -> None:
        self.bound = bound
        self.shards = shards
        self.number = 0
        """Of the round that is closed next."""
        self.rows: list[dict[str, Any]] = []
        self.missing: dict[str, str] = {}
        self.views: tuple[Seen, ...] = ()
        """From the last whole one on."""
        self._view: Any = None
        self.step = bound.begin(base)
        """What the last round came to."""
        self._see()

    @property
    def is_over(self) -> bool:
        """Whether no round follows."""
        return not self.step.kind

    def first(self) -> list[Batch]:
        """The batches of the first round."""
        everyone = range(self.shards)
        return [self.enter([shard]) for shard in everyone] if self.step.apart else [self.enter(everyone)]

    def enter(self, shards: Sequence[int], seen: int = -1) -> Batch:
        """A batch of these shards, which have seen the view of version ``seen``; -1: none."""
        step, views = self.step, self.views
        return Batch(
            self.number, tuple(shards), step.kind, step.seconds, step.quorum, views[-1].version, self._view, views,
            _unread(views, seen),
        )  # fmt: skip

    def turn(
        self, batch: Batch, shard: int, read: Callable[[], Chunk], kept: dict[str, Any], steps: int | None = None,
        times: dict[str, float] | None = None, bound: Bound | None = None,
    ) -> bytes:  # fmt: skip
        """Do a shard's turn; gives the packed part.

        Args:
            batch: Which it is of.
            shard: Whose.
            read: And ``kept``, ``steps`` and ``times``: see ``tasks.Turn``.
            bound: The run's functions with other options.

        Raises:
            ValueError: The task gave what is no value of its job.
        """
        return wire.pack(do(bound or self.bound, batch, shard, self.shards, read, kept, steps, times))

    def close(
        self, batch: Batch, packed: Mapping[int, bytes], *, at_s: float, wall_s: float, late: Sequence[int] = (),
        node_seconds: Mapping[int, float] | None = None, sizes_bytes: Mapping[int, int] | None = None,
        view_bytes: int | None = None, joined: Mapping[int, Sequence[int]] | None = None,
        told: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Make the next state of packed parts, and the round's line of the curve, which it gives.

        Args:
            batch: What is closed.
            packed: Shard -> its part.
            at_s: Seconds since the run began.
            wall_s: Seconds since the batch was entered.
            late: Shards whose parts are not there.
            node_seconds: See ``Closed``.
            sizes_bytes: Of the parts, where these are not their own.
            view_bytes: Of the views that a shard read, where these are not their own.
            joined: Shard -> the shards whose parts are joined in its part.
            told: More of the line.
        """
        parts, odd = self.bound.rest({shard: wire.unpack(packed[shard]) for shard in sorted(packed)})
        sizes = {shard: len(data) for shard, data in packed.items()} if sizes_bytes is None else dict(sizes_bytes)
        read_bytes = batch.view_bytes if view_bytes is None else view_bytes
        step = self.bound.step(
            self.step.state,
            Closed(
                round=self.number, shards=self.shards, kind=batch.kind, base=str(batch.version), seconds=batch.seconds,
                parts=parts, late=tuple(late), staleness=self.views[-1].version - batch.version,
                node_seconds=node_seconds or {}, sizes_bytes=sizes, view_bytes=read_bytes, at_s=at_s,
            ),
        )  # fmt: skip
        used = {member for shard in parts for member in (joined or {}).get(shard, (shard,))}
        row = {
            "round": self.number, "kind": batch.kind, "wall_s": wall_s, "parts": len(used - step.rejected.keys()),
            "late": len(late), "rejected": named({**odd, **step.rejected}), "up_bytes": sum(sizes.values()),
            "down_bytes": read_bytes * len(batch.shards), **(told or {}), **step.row,
        }  # fmt: skip
        if step.row:
            self.rows.append(row)
        self.missing |= step.missing
        self.number += 1
        self.step = step
        self._see()
        return row

    def result(self) -> Any:
        """Make the result of the last state and the whole curve."""
        return self.bound.result(self.step.state, self.rows)

    def _see(self) -> None:
        if self.step.view is None:
            return
        self._view = self.bound.rounds.see(self._view, self.step.view, self.step.whole)
        view = Seen(self.number, self.step.whole, len(self.step.view))
        self.views = (view,) if view.whole else (*self.views, view)


def _unread(views: Sequence[Seen], seen: int) -> int:
    follows = any(view.version == seen for view in views)
    return sum(view.size_bytes for view in views if not follows or view.version > seen)


def do(
    bound: Bound, batch: Batch, shard: int, shards: int, read: Callable[[], Chunk], kept: dict[str, Any],
    steps: int | None = None, times: dict[str, float] | None = None,
) -> Any:  # fmt: skip
    """Do a shard's turn in a batch; gives the value. See ``tasks.Turn``.

    Raises:
        ValueError: The task gave what is no value of its job.
    """
    return bound.turn(
        Turn(
            round=batch.number, shard=shard, shards=shards, kind=batch.kind, seconds=batch.seconds, view=batch.view,
            base=str(batch.version), about=bound.about, read=read, kept=kept, times={} if times is None else times,
            steps=steps,
        )
    )  # fmt: skip


def _run(course: Course, shards: Sequence[Chunk]) -> tuple[Any, dict[str, str]]:
    """Do a run, one turn after the other; gives its result, and what it lacks."""
    began_s = time.monotonic()
    kept: list[dict[str, Any]] = [{} for _ in shards]
    open_ = deque(course.first())
    while open_:
        batch = open_.popleft()
        began = time.monotonic()
        packed = {
            shard: course.turn(batch, shard, partial(_chunk, shards[shard]), kept[shard]) for shard in batch.shards
        }
        course.close(batch, packed, at_s=time.monotonic() - began_s, wall_s=time.monotonic() - began)
        if course.step.apart and not course.is_over:
            open_.append(course.enter(batch.shards, batch.version))
        else:  # those that others have not begun apart are left
            open_ = deque([] if course.is_over else [course.enter(range(len(shards)), batch.version)])
    return course.result(), course.missing


def _chunk(chunk: Chunk) -> Chunk:
    return chunk


def named(shards: Mapping[int, str]) -> dict[str, str]:
    """Reasons by shard, as they stand in a row of the curve."""
    return {str(shard): why for shard, why in sorted(shards.items())}
