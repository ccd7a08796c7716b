"""The figures of a battle, from records small enough to be counted by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from tests.benchmarks.battle import analysis, killer, records
from tests.benchmarks.battle.analysis import Figures
from tests.benchmarks.battle.killer import Kind
from tests.benchmarks.battle.records import Ended, Event, Execution

NEVER = math.inf


def start(chunk: str, node: str, began: float, ended: float = NEVER, pid: int = 1) -> Execution:
    return Execution("run", chunk, node, pid, began, ended)


def analysed(
    executions: Sequence[Execution], events: Sequence[Event] = (), result: Mapping[str, int] | None = None
) -> Figures:
    chunks = sorted({execution.chunk for execution in executions})
    once = dict.fromkeys(chunks, 1)
    return analysis.analyse({"run": Ended(chunks, once if result is None else result, once)}, executions, events)


def test_a_battle_without_harm_costs_nothing() -> None:
    assert analysed([start("a", "one", 0, 1), start("b", "two", 0, 1)]) == Figures(runs=1, chunks=2)


def test_what_no_result_has_is_lost_and_what_it_has_twice_is_counted_twice() -> None:
    executions = [start(chunk, "one", 0, 1) for chunk in "abc"]
    found = analysed(executions, result={"a": 1, "b": 3})
    assert (found.lost, found.counted_twice, found.wrong, found.never_done) == (1, 2, 1, 0)


def test_a_run_without_a_result_loses_all_its_chunks_and_names_those_never_done() -> None:
    runs = {"run": Ended(["a", "b", "c"], None, {})}
    found = analysis.analyse(runs, [start("a", "one", 0, 1), start("b", "one", 1)], [])
    assert (found.hung, found.chunks, found.lost, found.never_done) == (1, 3, 3, 2)


def test_recovery_from_a_kill_is_timed_from_the_kill_to_the_next_beginning() -> None:
    executions = [start("a", "one", 0), start("a", "two", 2.5, 3), start("b", "one", 0, 0.5)]
    found = analysed(executions, [Event(1.0, "kill", "one")])
    assert (found.killed_s, found.silent_s, found.child_s) == ([1.5], [], [])
    assert (found.executed_twice, found.unexplained, found.not_begun_again) == (1, 0, 0)


def test_the_kill_of_a_child_costs_its_own_chunk_only() -> None:
    executions = [start("a", "one", 0, pid=1), start("a", "one", 1.25, 2, pid=3), start("b", "one", 0, 2, pid=2)]
    found = analysed(executions, [Event(1.0, "kill child", "one", 1)])
    assert (found.child_s, found.killed_s, found.unexplained) == ([0.25], [], 0)


def test_a_chunk_that_never_begins_again_after_a_kill_is_named() -> None:
    found = analysed([start("a", "one", 0)], [Event(1.0, "kill", "one")], result={})
    assert (found.not_begun_again, found.killed_s, found.lost) == (1, [], 1)


def test_a_chunk_that_a_node_back_from_silence_does_need_not_begin_again() -> None:
    executions = [start("a", "one", 0, 9), start("a", "two", 5)]
    events = [Event(1.0, "pause", "one"), Event(6.0, "kill child", "two", 1), Event(8.0, "resume", "one")]
    assert analysed(executions, events).not_begun_again == 0


def test_a_copy_need_not_be_taken_over_when_the_chunk_is_done_meanwhile() -> None:
    executions = [start("a", "one", 0, 5), start("a", "two", 1, 12)]
    events = [Event(2.0, "pause", "two"), Event(11.0, "resume", "two")]
    assert analysed(executions, events).not_taken_over == 0


def test_a_silent_nodes_work_is_timed_from_its_silence() -> None:
    executions = [start("a", "one", 0, 9.5), start("a", "two", 5, 6)]
    found = analysed(executions, [Event(1.0, "pause", "one"), Event(9.0, "resume", "one")])
    assert (found.silent_s, found.not_taken_over, found.executed_twice, found.unexplained) == ([4.0], 0, 1, 0)


def test_a_short_silence_asks_for_no_take_over_and_a_long_one_does() -> None:
    executions = [start("a", "one", 0, 4), start("b", "two", 0, 9)]
    events = [
        *(Event(1.0, "pause", "one"), Event(1.0, "pause", "two")),
        *(Event(3.0, "resume", "one"), Event(8.0, "resume", "two")),
    ]
    found = analysed(executions, events)
    assert (found.silent_s, found.not_taken_over) == ([], 1)


@pytest.mark.parametrize(("again", "killed_s", "silent_s"), [(5.0, [], [4.0]), (7.0, [0.5], [])])
def test_a_node_that_is_paused_and_then_killed_is_timed_from_what_ended_the_wait(
    again: float, killed_s: list[float], silent_s: list[float]
) -> None:
    executions = [start("a", "one", 0), start("a", "two", again, again + 1)]
    found = analysed(executions, [Event(1.0, "pause", "one"), Event(6.5, "kill", "one")])
    assert (found.killed_s, found.silent_s, found.not_taken_over) == (killed_s, silent_s, 0)


def test_a_copy_that_is_killed_costs_nothing_when_the_chunk_is_done_or_runs_elsewhere() -> None:
    done = [start("a", "one", 0, 1), start("a", "two", 0.5)]
    running = [start("b", "two", 0), start("b", "one", 1, 5)]
    found = analysed([*done, *running], [Event(2.0, "kill", "two")])
    assert (found.killed_s, found.not_begun_again) == ([], 0)


@pytest.mark.parametrize(
    ("events", "unexplained"),
    [
        ([], 1),
        ([Event(1.5, "kill", "one")], 0),  # after the work, before it was acknowledged
        ([Event(4.0, "kill", "one")], 1),  # long after
        ([Event(1.5, "kill", "three")], 1),
        ([Event(0.5, "broker down"), Event(0.8, "broker up")], 0),
        ([Event(-3.0, "broker down"), Event(-2.0, "broker up")], 0),  # its nodes were still coming back
        ([Event(-30.0, "broker down"), Event(-29.0, "broker up")], 1),
        ([Event(0.5, "pause", "one"), Event(0.9, "resume", "one")], 0),
        ([Event(1.0, "pause", "two"), Event(1.9, "resume", "two")], 0),  # it slept on the message
    ],
)
def test_a_repeat_wants_a_reason(events: Sequence[Event], unexplained: int) -> None:
    found = analysed([start("a", "one", 0, 1), start("a", "two", 2.5, 3)], events)
    assert (found.executed_twice, found.unexplained) == (1, unexplained)


def test_an_end_belongs_to_the_last_beginning_in_its_process() -> None:
    def line(what: str, chunk: str, pid: int, at: float) -> dict[str, object]:
        return {"what": what, "run": "run", "chunk": chunk, "node": "one", "pid": pid, "at": at}

    lines = [line("begin", "a", 1, 0), line("begin", "b", 2, 1), line("end", "a", 1, 2), line("begin", "c", 1, 3)]
    lines += [line("begin", "d", 1, 4), line("end", "d", 1, 5)]
    found = {execution.chunk: (execution.began, execution.ended) for execution in records.match(lines)}
    assert found == {"a": (0, 2), "b": (1, NEVER), "c": (3, NEVER), "d": (4, 5)}


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [analysis.percentile(values, share) for share in (0.5, 0.95, 1.0)] == [3.0, 5.0, 5.0]
    assert math.isnan(analysis.percentile([], 0.5))


def test_a_plan_is_the_same_for_the_same_seed_and_has_every_kind_of_kill() -> None:
    steps = killer.plan(200, 7)
    assert steps == killer.plan(200, 7) != killer.plan(200, 8)
    assert {step.kind for step in steps} == set(Kind)
    assert all(8 <= step.pause_s <= 10 for step in steps if step.kind is Kind.SLEEP)
