"""Runs of a job that goes in rounds: the job's functions with a run's options, and such a run in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aggregators import Closed, Model, NoResult, Step
from cluster import errors, wire
from cluster.functions import taken
from cluster.job import Job, Options, Outcome, Rounds, Source, sift
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
    local = _Local(bound, shards, base)
    try:
        result = local.run()
    except NoResult as error:
        raise errors.RunFailed(str(error)) from None
    return Outcome(result, {**failures, **local.missing}, passed_over.shown())


class _Local:
    """One run."""

    def __init__(self, bound: Bound, shards: list[Chunk], base: Path | None) -> None:
        self._bound = bound
        self._shards = shards
        self._began_s = time.monotonic()
        self._kept: list[dict[str, Any]] = [{} for _ in shards]
        self._rows: list[dict[str, Any]] = []
        self.missing: dict[str, str] = {}
        self._step = bound.begin(base)
        self._views: list[tuple[int, Any]] = []
        """Version and view of each shard, as it last got them."""
        self._number, self._version, self._view, self._view_bytes = 0, 0, None, 0

    def run(self) -> Any:
        """Give the result."""
        self._see()
        self._views = [(self._version, self._view)] * len(self._shards)
        while self._step.kind:
            if self._step.apart:
                shard = self._number % len(self._shards)
                self._close([shard])
                self._views[shard] = self._version, self._view
            else:
                self._views = [(self._version, self._view)] * len(self._shards)
                self._close(list(range(len(self._shards))))
        return self._bound.result(self._step.state, self._rows)

    def _see(self) -> None:
        if self._step.view is not None:
            self._view = self._bound.rounds.see(self._view, self._step.view, self._step.whole)
            self._version, self._view_bytes = self._number, len(self._step.view)

    def _close(self, shards: list[int]) -> None:
        began = time.monotonic()
        packed = {shard: wire.pack(self._turn(shard)) for shard in shards}
        parts, odd = self._bound.rest({shard: wire.unpack(data) for shard, data in packed.items()})
        version, _ = self._views[shards[0]]
        step = self._bound.step(
            self._step.state,
            Closed(
                round=self._number, shards=len(self._shards), kind=self._step.kind, base=str(version),
                seconds=self._step.seconds, parts=parts, staleness=self._version - version,
                sizes_bytes={shard: len(data) for shard, data in packed.items()},
                view_bytes=self._view_bytes, at_s=time.monotonic() - self._began_s,
            ),
        )  # fmt: skip
        row = {
            "round": self._number, "kind": self._step.kind, "wall_s": time.monotonic() - began, "parts": len(parts),
            "late": 0, "rejected": named({**odd, **step.rejected}), "up_bytes": sum(map(len, packed.values())),
            "down_bytes": self._view_bytes * len(shards),
        }  # fmt: skip
        if step.row:
            self._rows.append({**row, **step.row})
        self.missing |= step.missing
        self._number += 1
        self._step, self._view_bytes = step, 0
        self._see()

    def _turn(self, shard: int) -> Any:
        version, view = self._views[shard]
        return self._bound.turn(
            Turn(
                round=self._number, shard=shard, shards=len(self._shards), kind=self._step.kind,
                seconds=self._step.seconds, view=view, base=str(version), about=self._bound.about,
                read=lambda: self._shards[shard], kept=self._kept[shard], times={},
            )
        )  # fmt: skip


def named(shards: Mapping[int, str]) -> dict[str, str]:
    """Reasons by shard, as they stand in a row of the curve."""
    return {str(shard): why for shard, why in sorted(shards.items())}
