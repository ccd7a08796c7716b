"""Runs on simulated networks, of a job that counts its turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.errors import RunFailed, UsageError
from cluster.simulation import Policy, network, simulate
from cluster.simulation.policies import POLICIES, Round
from tests.kit.jobs.cluster_testturns import COUNT_TURNS

FOUR = '[[terminal]]\ncount = 4\nlatency = "10 ms"\ncompute = "20 ms/step"\n'


class Waits(Policy):
    """Closes no round."""

    name = "waits"

    def is_over(self, round_: Round) -> bool:
        return False


class First(Policy):
    """Closes a round with the first part."""

    name = "first"

    def is_over(self, round_: Round) -> bool:
        return bool(round_.arrived_s)


def run(text: str, policy: Policy | str = "given", **options: Any) -> tuple[list[Mapping[str, Any]], float]:
    [found] = simulate(COUNT_TURNS, "x", network.parse(text), [policy], **options)
    return list(found.rows), found.seconds


def test_a_round_takes_what_its_turns_and_transfers_take() -> None:
    rows, seconds = run(FOUR, rounds=5)
    turn_s = 2 * 0.01 + 2 * 0.01 + 25 * 0.02 + 0.01  # to claim, to fetch, to work, to send
    assert [row["wall_s"] for row in rows[:1]] == [pytest.approx(turn_s)]
    assert [row["wall_s"] for row in rows[1:]] == [pytest.approx(turn_s + 0.01)] * 4  # and to hear of it
    assert seconds == pytest.approx(rows[-1]["at"])
    assert [row["counted"] for row in rows] == [4] * 5


def test_a_shared_uplink_makes_the_round_longer() -> None:
    edge = 'part = "1 MB"\n[[edge]]\nname = "lab"\nup = "8 Mb/s"\n'
    rows, _ = run(f'{edge}[[terminal]]\nof = "lab"\ncount = 4\ncompute = "20 ms/step"\n', rounds=2)
    assert rows[1]["wall_s"] == pytest.approx(0.5 + 4.0, abs=0.001)
    assert rows[1]["up_bytes"] == 4_000_000


def test_a_barrier_waits_for_the_slow_and_a_quorum_does_not() -> None:
    text = '[[terminal]]\ncount = 4\ncompute = ["10 ms/step", "100 ms/step * .25"]\n'
    waited, _ = run(text, rounds=6)
    closed, _ = run(text, rounds=6, quorum=0.75)
    assert [round(row["wall_s"], 3) for row in waited] == [2.5] * 6
    assert [row["late"] for row in closed] == [0, *[1] * 5] or sum(row["late"] for row in closed) >= 2
    assert closed[-1]["at"] < waited[-1]["at"]


def test_terminals_that_leave_and_return_lose_no_round() -> None:
    rows, _ = run(f'{FOUR}leaves = "30 % per round"\nreturns = "3 s"\njitter = 0.2\n', rounds=12)
    assert [row["counted"] for row in rows] == [4] * 12
    assert sum(row["lost"] for row in rows) > 3


def test_a_round_that_waits_for_machines_that_are_gone_is_told() -> None:
    with pytest.raises(
        RunFailed, match=r"policy given never closes round \d+: it waits for \d of 4 parts, and all 4 terminals"
    ):
        run(f'{FOUR}leaves = "50 % per round"\n', rounds=40)


def test_a_policy_that_never_closes_a_round_is_told() -> None:
    with pytest.raises(RunFailed, match="the policy waits never closes round 0: all 4 parts have come"):
        run(FOUR, Waits(), rounds=3)


def test_a_policy_of_ones_own_closes_rounds() -> None:
    rows, _ = run(f"{FOUR}jitter = 0.2\n", First(), rounds=5)
    assert [(row["parts"], row["late"]) for row in rows] == [(1, 3)] * 5


def test_shards_that_go_on_apart_see_what_others_did() -> None:
    rows, _ = run(f"{FOUR}jitter = 0.1\n", rounds=5, apart=True)
    assert len(rows) == 20
    assert max(row["staleness"] for row in rows) >= 3


def test_turns_that_shards_did_apart_are_given_up_at_the_end() -> None:
    rows, _ = run(f"{FOUR}jitter = 0.1\n", rounds=5, apart=True, apart_rounds=6)
    assert [row["kind"] for row in rows].count("drained") == 3
    assert rows[-1]["counted"] == 4


def test_more_shards_than_terminals_are_done_one_after_the_other() -> None:
    rows, _ = run(FOUR, rounds=2, shards=8)
    assert rows[1]["wall_s"] == pytest.approx(2 * 0.55 + 0.02, abs=0.02)
    assert [row["counted"] for row in rows] == [8, 8]


def test_the_same_call_gives_the_same_rows() -> None:
    text = f'{FOUR}leaves = "10 % per round"\nreturns = "1 s"\njitter = 0.3\n'
    assert run(text, rounds=8, quorum=0.5) == run(text, rounds=8, quorum=0.5)


def test_a_policy_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="no policy 'quorom'; there are: given, barrier"):
        run(FOUR, "quorom")


def test_each_policy_names_the_options_that_it_stands_for() -> None:
    given = {"steps": 10, "quorum": 0.5, "staleness": 3, "server": "adam"}
    options = {name: make().options(given) for name, make in POLICIES.items()}
    assert options["given"] == {}
    assert options["barrier"] == {"mode": "local", "staleness": None, "steps": 10, "round_seconds": None, "quorum": 1.0}
    assert options["time"]["steps"] is None
    assert options["quorum"]["quorum"] == 0.5
    assert options["async"]["server"] is None
