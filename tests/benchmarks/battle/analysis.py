"""Count what a battle cost: from records alone, so that it can be checked by hand."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.battle.records import Ended, Event, Execution

SILENT_LIMIT_S = 6.0
"""A node that is silent for longer should have lost its work to others by then."""
COMMIT_S = 1.0
"""Between the end of the work and its acknowledgement: a kill then costs the work as well."""
BROKER_BACK_S = 5.0
"""After a restart of the broker all nodes come back to it; until then none can be told from a dead one."""

Span = tuple[float, float]


@dataclass
class Figures:
    """What a battle cost. A chunk counts in ``lost`` where no result has it."""

    runs: int = 0
    hung: int = 0
    """Runs that never had a result."""
    chunks: int = 0
    lost: int = 0
    never_done: int = 0
    """Chunks that nobody ever did to the end."""
    counted_twice: int = 0
    """Times that a chunk counts in a result beyond the first."""
    wrong: int = 0
    """Results that are not the expected ones, for whatever reason."""
    executed_twice: int = 0
    """Starts of chunks beyond the first."""
    unexplained: int = 0
    """Of these, the ones that nothing the killer did explains."""
    killed_s: list[float] = field(default_factory=list)
    """For each chunk that ran on a node when that was killed: until it began again."""
    child_s: list[float] = field(default_factory=list)
    """The same for a process of the pool."""
    silent_s: list[float] = field(default_factory=list)
    """For each chunk that ran on a node when that fell silent, and began elsewhere before its end: until then."""
    not_taken_over: int = 0
    """Chunks of nodes that were silent for over ``SILENT_LIMIT_S``, which nobody began meanwhile nor had done."""
    not_begun_again: int = 0
    """Chunks that ran in what was killed, never began again, and were done by nobody else."""


def analyse(runs: Mapping[str, Ended], executions: Iterable[Execution], events: Sequence[Event]) -> Figures:
    """The figures of a whole battle."""
    figures = Figures(runs=len(runs))
    _count_results(figures, runs)
    history = History(events)
    by_chunk: defaultdict[tuple[str, str], list[Execution]] = defaultdict(list)
    for execution in executions:
        by_chunk[execution.run, execution.chunk].append(execution)
    for starts in by_chunk.values():
        starts.sort(key=lambda execution: execution.began)
        _count_repeats(figures, starts, history)
        for execution in starts:
            _time_recovery(figures, execution, starts, history)
    done = {chunk for chunk, starts in by_chunk.items() if any(math.isfinite(start.ended) for start in starts)}
    figures.never_done = figures.chunks - len(done)
    return figures


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below the given share of all (nearest rank); NaN of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


class History:
    """When what happened to whom."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.kills = {event.node: event.at for event in events if event.what in ("kill", "died")}
        self.child_kills = {(event.node, event.pid): event.at for event in events if event.what == "kill child"}
        self.outages = _spans(events, "", "broker down", "broker up")
        nodes = {event.node for event in events if event.what == "pause"}
        self.pauses = {node: _spans(events, node, "pause", "resume") for node in nodes}

    def killed_at(self, execution: Execution) -> float:
        """When its node or its own process was killed; infinite for never."""
        return min(
            self.kills.get(execution.node, math.inf),
            self.child_kills.get((execution.node, execution.pid), math.inf),
        )

    def disturbed(self, execution: Execution) -> bool:
        """Whether its node, or the broker, was away while it ran or when it came to be acknowledged."""
        spans = [*self.pauses.get(execution.node, []), *((down, up + BROKER_BACK_S) for down, up in self.outages)]
        return any(start <= execution.ended + COMMIT_S and end >= execution.began - COMMIT_S for start, end in spans)


def _spans(events: Sequence[Event], node: str, start: str, end: str) -> list[Span]:
    """The spans between starts and ends; one without an end lasts until the node is killed, or for ever."""
    spans, began = [], math.nan
    for event in events:
        if event.node != node:
            continue
        if event.what == start:
            began = event.at
        elif event.what in (end, "kill", "died") and not math.isnan(began):
            spans.append((began, event.at))
            began = math.nan
    return spans if math.isnan(began) else [*spans, (began, math.inf)]


def _count_results(figures: Figures, runs: Mapping[str, Ended]) -> None:
    for ended in runs.values():
        figures.chunks += len(ended.chunks)
        if ended.result is None:
            figures.hung += 1
            figures.lost += len(ended.chunks)
            continue
        figures.lost += sum(chunk not in ended.result for chunk in ended.chunks)
        figures.counted_twice += sum(max(0, times - 1) for times in ended.result.values())
        figures.wrong += ended.result != ended.expected


def _count_repeats(figures: Figures, starts: Sequence[Execution], history: History) -> None:
    """Each repeat wants a reason: an earlier start was killed, or either of the two was disturbed."""
    for at, repeat in enumerate(starts[1:], 1):
        figures.executed_twice += 1
        before = starts[:at]
        killed = any(history.killed_at(start) <= min(start.ended + COMMIT_S, repeat.began) for start in before)
        disturbed = any(history.disturbed(start) for start in [*before, repeat])
        figures.unexplained += not (killed or disturbed)


def _time_recovery(figures: Figures, execution: Execution, starts: Sequence[Execution], history: History) -> None:
    """How long until a chunk began again whose start was cut short or left hanging."""
    killed_at = history.killed_at(execution)
    for silent_at, back_at in history.pauses.get(execution.node, []):
        if not execution.began <= silent_at < execution.ended or _is_done(starts, silent_at):
            continue
        again = _next(starts, silent_at, execution)
        if again <= back_at:
            figures.silent_s.append(again - silent_at)
            return
        limit = silent_at + SILENT_LIMIT_S
        figures.not_taken_over += back_at > limit and not _is_done(starts, limit)
    if killed_at < execution.ended and not _is_done(starts, killed_at):
        again = _next(starts, killed_at, execution)
        if any(start.began < killed_at < start.ended for start in starts if start.began > execution.began):
            return  # it had begun again before
        if math.isinf(again):
            figures.not_begun_again += not any(math.isfinite(start.ended) for start in starts)
        elif killed_at == history.kills.get(execution.node):
            figures.killed_s.append(again - killed_at)
        else:
            figures.child_s.append(again - killed_at)


def _is_done(starts: Sequence[Execution], at: float) -> bool:
    return any(start.ended <= at for start in starts)


def _next(starts: Sequence[Execution], after: float, execution: Execution) -> float:
    """When the chunk began next, not counting the execution itself; infinite for never."""
    return min((start.began for start in starts if start.began > after and start is not execution), default=math.inf)
