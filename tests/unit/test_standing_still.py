"""A folder that is watched: files are taken once they stand still."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest
import redis

from cluster import errors
from cluster.cli import watch
from cluster.client.memory import Stamp
from cluster.client.only_new import Wanted
from cluster.client.standing_still import STILL_S, StandingStill
from splitters.items import Choice


def wanted(name: str, size: int) -> Wanted:
    return Wanted(Choice(name, Path(name)), Stamp(size, 0))


def names(found: list[Wanted]) -> list[str]:
    return [one.choice.name for one in found]


def test_a_file_is_taken_when_it_has_stopped_growing() -> None:
    still = StandingStill()
    assert still.ready([wanted("a", 1), wanted("b", 5)], 0) == []
    assert names(still.ready([wanted("a", 2), wanted("b", 5)], STILL_S)) == ["b"]
    assert names(still.ready([wanted("a", 2)], 2 * STILL_S)) == ["a"]


def test_a_file_that_failed_waits_until_it_changes() -> None:
    still = StandingStill()
    still.ready([wanted("a", 1)], 0)
    still.tried(still.ready([wanted("a", 1)], STILL_S))
    assert still.ready([wanted("a", 1)], 9 * STILL_S) == []
    assert not still.is_waiting
    still.ready([wanted("a", 2)], 10 * STILL_S)
    assert still.is_waiting
    assert names(still.ready([wanted("a", 2)], 11 * STILL_S)) == ["a"]


def test_a_file_that_cannot_be_reached_is_left_for_later() -> None:
    still = StandingStill()
    gone = Wanted(Choice("a", Path("a")), None)
    assert still.ready([gone], 0) == still.ready([gone], STILL_S) == []


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        (["--watch", "./scans"], ["--watch=10", "./scans"]),
        (["./scans", "--watch"], ["./scans", "--watch=10"]),
        (["--watch", "5", "./scans"], ["--watch", "5", "./scans"]),
        (["--watch=5", "./scans"], ["--watch=5", "./scans"]),
    ],
)
def test_a_watch_needs_no_number(typed: list[str], given: list[str]) -> None:
    assert watch.with_number(typed) == given


def test_an_error_of_a_round_ends_no_watch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rounds: list[Exception | None] = [redis.ConnectionError("away"), redis.ConnectionError("away"), None]
    rounds += [errors.UsageError("no such file or folder: scans")]

    def look(_: StandingStill) -> int:
        if error := rounds.pop(0):
            raise error
        return 0

    def sleep(_: float) -> None:
        if not rounds:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    assert watch.go(look, 10, ["scans"]) == 0
    told = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines() if "this round failed" in line]
    assert told == ["away", "no such file or folder: scans"]


def test_a_ctrl_c_that_a_library_swallows_ends_a_watch_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look(_: StandingStill) -> None:
        looks.append(1)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("time.sleep", lambda _: None)
    assert watch.go(look, 10, ["scans"]) == 0
    assert len(looks) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
