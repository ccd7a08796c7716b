"""What is said of a run while it is waited for, and of the nodes that come and go meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from cluster.cli import texts
from cluster.cli.progress import Crew, Progress
from cluster.ledger.row import RunRow
from cluster.ledger.status import Status, from_ledger
from cluster.nodes.registry import Node, State
from tests.kit.nodes import a_node


def row(fields: dict[str, str]) -> RunRow:
    return RunRow.read({name: value.encode() for name, value in fields.items()})


def node(name: str, state: State = "online", phase: str = "here", jobs: Iterable[str] = ("ocr",)) -> Node:
    return a_node(name, state=state, phase=phase, jobs=list(jobs))


def status(settled: int = 0, running: int = 0) -> Status:
    fields = {"state": "running", "job": "ocr", "options": "{}", "started_at": "0", "items_total": "8"}
    done = {"items_settled": str(settled), "chunks_settled": str(settled)}
    return from_ledger("ocr-1", row({**fields, **done}), {}, {"dead@pc": 3}, {}, failed=0, running=running, now_s=10)


def test_nodes_that_join_leave_or_are_lost_are_told_once() -> None:
    crew = Crew()
    assert crew.look([node("a"), node("b"), node("c"), node("other", jobs=["faces"])], "ocr") == []
    assert crew.size == 3
    silent = [node("a"), node("b", "silent"), node("c", "gone", "left"), node("d\x1b[2J")]
    assert crew.look(silent, "ocr") == [
        "d\\x1b[2J has joined",
        "b does not answer any more; others do its chunks",
        "c has left",
    ]
    assert crew.look(silent, "ocr") == []
    assert crew.size == 2
    assert crew.look([*silent, node("b")], "ocr") == ["b is back"]
    assert crew.look([node("a", "leaving", "leaving"), node("b", jobs=[]), *silent[2:]], "ocr") == ["b has left"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_plain_progress_counts_living_nodes_and_begins_with_something_done(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    at, there = [status(running=1)], [node("a"), node("dead@pc", "gone")]
    with Progress(lambda: at[0], lambda: there, lonely_hint="; help") as progress:
        for _ in range(30):
            clock[0] += 0.1
            progress()
        assert capsys.readouterr().err == ""
        at[0] = status(settled=2, running=1)
        for _ in range(10):
            clock[0] += 0.1
            progress()
        assert capsys.readouterr().err == "ocr-1: 2 of 8 done, 0.2/s, 30.0 s left, 1 node\n"
        there[0] = node("a", "silent")
        clock[0] += 5
        progress()
        lost = "ocr-1: a does not answer any more; others do its chunks\n"
        assert capsys.readouterr().err == f"{lost}ocr-1: 2 of 8 done, 0.2/s, 30.0 s left, no node\n"


@pytest.mark.parametrize(("hint", "line"), [("; help", "waiting for a node; help"), ("", "0 of 8 done, no node")])
def test_a_run_that_nothing_is_done_of_says_so_in_time(
    hint: str, line: str, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(status, list, lonely_hint=hint) as progress:
        for _ in range(60):
            clock[0] += 0.1
            progress()
    assert capsys.readouterr().err == f"ocr-1: {line}\n"


def test_a_run_that_all_nodes_reject_says_so_once(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    at = status(settled=3).model_copy(update={"rejections": {"a": "rejects pictures of over 20 megapixels"}})
    there = [node("a"), node("c", jobs=["faces"]), node("d", "gone")]
    with Progress(lambda: at, lambda: there) as progress:
        for _ in range(30):
            clock[0] += 1
            progress()
    said = capsys.readouterr().err
    assert said.count("no node takes the rest of this run: all that can do the job reject it (1 node)") == 1
    assert said.count("a rejects pictures of over 20 megapixels") == 1


def test_a_run_whose_nodes_are_all_paused_says_by_whom() -> None:
    at = status(settled=3).model_copy(update={"rejections": {"b": "why"}})
    paused = node("a").model_copy(update={"paused_by": "maria"})
    told = "no node takes the rest of this run: all that can do the job are paused{} (a by maria)"
    assert told.format("") in texts.status(at, [paused])
    assert told.format(" or reject it") in texts.status(at, [paused, node("b")])
    assert "waiting" not in texts.status(at, [paused, node("c")])


def test_progress_of_rounds_tells_round_score_and_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"state": "running", "job": "train", "options": "{}", "started_at": "0", "items_total": "40"}
    done = {"items_settled": "10", "round": "9", "rounds_planned": "40", "late": "2", "late_committed": "1"}
    at = from_ledger(
        "train-1", row({**fields, **done}), {}, {}, {}, failed=0, running=1, now_s=20, curve_row={"accuracy": 0.9119}
    )
    with Progress(lambda: at, lambda: [node("a", jobs=["train"])]) as progress:
        clock[0] += 6
        progress()
    assert capsys.readouterr().err == "train-1: 10 of 40 rounds, accuracy 0.912, 1:00 min left, 1 node\n"
    assert "  rounds       10 of 40 rounds, accuracy 0.912\n" in texts.status(at)
    assert "  parts        2 late, of which 1 lost; 0 rejected\n" in texts.status(at)
    assert texts.items(at.model_copy(update={"rounds": None})) == "10 of 40 done"


def test_progress_of_rounds_tells_whose_turns_are_over() -> None:
    standing = {"kind": "fit", "shards": 8, "apart": False}
    fields = {"state": "running", "job": "ensemble", "options": "{}", "started_at": "0", "items_total": "4"}
    done = {"round": "-1", "rounds_planned": "4", "chunks_published": "8", "chunks_settled": "3"}

    def told(**changes: Any) -> str:
        known = row({**fields, **done, "model_state": json.dumps({**standing, **changes})})
        return texts.items(from_ledger("e-1", known, {}, {}, {}, failed=0, running=2, now_s=20))

    assert told() == "0 of 4 rounds, fit 3 of 8"
    assert told(apart=True) == told(kind="") == "0 of 4 rounds"


def test_one_node_that_has_not_rejected_is_enough() -> None:
    at = status(settled=3).model_copy(update={"rejections": {"a": "why"}})
    assert "waiting" in texts.status(at, [node("a")])
    assert "waiting" not in texts.status(at, [node("a"), node("b")])
    assert "waiting" not in texts.status(at.model_copy(update={"chunks_running": 1}), [node("a")])
