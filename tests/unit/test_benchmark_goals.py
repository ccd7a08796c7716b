"""The table that the benchmarks end with."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import goals
from tests.benchmarks.goals import Goal, Row


def test_a_limit_asks_what_ours_takes_of_theirs() -> None:
    row = Row(work="ocr", against="limit", ours=[10.4, 10.6, 10.2], theirs=[10, 10, 10], goal=Goal("<=", 1.05))

    assert row.ratios() == [1.04, 1.06, 1.02]
    assert row.met()
    assert not Row(**{**row.__dict__, "goal": Goal("<=", 1.03)}).met()


@pytest.mark.parametrize(("more_is_better", "ratio"), [(False, 0.25), (True, 4.0)])
def test_so_many_times_as_good_is_less_time_or_more_of_a_rate(more_is_better: bool, ratio: float) -> None:
    row = Row(work="w", against="a", ours=[8], theirs=[2], more_is_better=more_is_better, goal=Goal(">=", 4))

    assert row.ratios() == [ratio]
    assert row.met() is more_is_better


def test_points_compare_shares_by_their_difference() -> None:
    row = Row(work="w", against="a", ours=[0.954, 0.956], theirs=[0.958, 0.958], goal=Goal(">=", -0.5, "points"))

    assert row.ratios() == pytest.approx([-0.4, -0.2])
    assert row.met()
    assert not Row(**{**row.__dict__, "ours": [0.95, 0.952]}).met()
    assert "-0.3 points [-0.4--0.2]" in goals.table([row])
    assert ">= -0.5 points" in goals.table([row])


def test_a_goal_of_the_figure_itself_needs_no_other() -> None:
    row = Row(work="w", against="a", ours=[0.98], unit="", goal=Goal(">=", 0.975, "itself"))

    assert row.met()
    assert not Row(**{**row.__dict__, "ours": [0.97]}).met()
    assert goals.of_json(json.loads(json.dumps([row.as_json()]))) == [row]


def test_nothing_is_met_without_a_goal_or_figures() -> None:
    assert Row(work="w", against="a", ours=[1], theirs=[1]).met() is None
    assert Row(work="w", against="a", ours=[1], goal=Goal("<=", 1), skipped="not here").met() is None


def test_rounds_of_several_files_join_to_one_row() -> None:
    row = Row(work="w", against="a", ours=[1, 2], theirs=[2, 4], goal=Goal(">=", 2))
    other = Row(work="w", against="b", ours=[1])

    joined = goals.of_json(json.loads(json.dumps([row.as_json(), other.as_json(), row.as_json()])))

    assert joined == [Row(work="w", against="a", ours=[1, 2, 1, 2], theirs=[2, 4, 2, 4], goal=Goal(">=", 2)), other]


def test_the_table_shows_medians_ranges_and_what_is_met() -> None:
    rows = [
        Row(work="w", against="a", ours=[1, 3, 2], theirs=[4, 4, 4], goal=Goal(">=", 2)),
        Row(work="w", against="b", ours=[1], goal=Goal("<=", 1), skipped="no Java"),
    ]

    head, _, first, second = goals.table(rows).splitlines()

    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "w",
        "a",
        "2 s [1-3]",
        "4 s [4-4]",
        "2 [1.33-4]",
        ">= 2 x",
        "yes",
    ]
    assert "skipped: no Java" in second
    assert "ready" not in head  # nothing to show there
