"""Figures of a training: scores from sums, seconds of a round from what shards took, the options of a mode."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregators import Closed
from aggregators.training import pace, scores
from aggregators.training.settings import choose_server, complete

CLASSES: dict[str, Any] = {"classes": ["a", "b", "c"], "target_scale": None}
NUMBERS: dict[str, Any] = {"classes": [], "target_scale": {"mean": 50.0, "std": 10.0}}


def of_numbers(y: list[float], said: list[float]) -> dict[str, Any]:
    squared = sum((a - b) ** 2 for a, b in zip(y, said, strict=True))
    sums = {"sum": sum(y), "sum2": sum(value**2 for value in y)}
    return {"rows": len(y), "loss_sum": squared, "squared": squared, **sums}


def closed(steps: list[int], seconds: float = 1.0, took: float = 1.0, fresh: tuple[int, ...] = ()) -> Closed:
    parts = {shard: {"steps": number, "fresh": shard in fresh} for shard, number in enumerate(steps)}
    return Closed(
        round=0, shards=len(steps), kind="train", base="0", seconds=seconds, parts=parts,
        node_seconds=dict.fromkeys(parts, took),
    )  # fmt: skip


def test_rare_classes_count_as_much_in_the_balanced_accuracy() -> None:
    confusion = [[90, 5, 5], [5, 5, 0], [0, 0, 0]]

    told = scores.tell({"rows": 110, "loss_sum": 55.0, "correct": 95, "confusion": confusion}, CLASSES)

    assert told["accuracy"] == pytest.approx(95 / 110, abs=1e-6)
    assert told["balanced_accuracy"] == pytest.approx((0.9 + 0.5) / 2)  # the class c has no rows
    assert told["loss"] == 0.5


def test_sums_of_shards_are_those_of_all_rows() -> None:
    first = {"rows": 2, "loss_sum": 1.0, "correct": 1, "confusion": [[1, 1], [0, 0]]}
    second = {"rows": 3, "loss_sum": 2.0, "correct": 2, "confusion": [[0, 1], [0, 2]]}

    assert scores.add([first, second]) == {"rows": 5, "loss_sum": 3.0, "correct": 3, "confusion": [[1, 2], [0, 2]]}
    assert first["confusion"] == [[1, 1], [0, 0]]


def test_errors_of_numbers_are_in_their_own_unit() -> None:
    y, said = [-1.0, 0.0, 0.5, 2.0], [-0.5, 0.0, 0.0, 1.5]

    told = scores.tell(scores.add([of_numbers(y[:1], said[:1]), of_numbers(y[1:], said[1:])]), NUMBERS)

    assert told["rmse"] == pytest.approx(10 * math.sqrt(0.75 / 4), rel=1e-5)
    assert told["r2"] == pytest.approx(1 - 0.75 / (4 * float(np.var(y))), abs=1e-6)


def test_equal_targets_have_no_share_explained() -> None:
    assert "r2" not in scores.tell(of_numbers([0.1] * 3, [0.2] * 3), NUMBERS)


def test_a_smaller_error_is_a_better_score() -> None:
    near, far = (scores.of(of_numbers([0.0, 1.0], [said, 1.0])) for said in (0.1, 0.5))
    diverged = scores.of({"rows": 2, "squared": math.nan})

    assert near is not None
    assert far is not None
    assert near > far > -math.inf == diverged
    assert scores.of({"rows": 0}) is None


def test_a_round_is_for_as_long_as_25_steps_take() -> None:
    found = pace.measure(closed([10, 4, 5, 6, 1]))  # the median shard made 5 in a second

    assert found == (0.2, 0.0)
    assert pace.choose([found]) == 5.0


def test_work_takes_nine_times_as_long_as_transfer() -> None:
    found = pace.measure(closed([1000, 1000], took=3.5))

    assert found is not None
    assert pace.choose([found]) == 9 * 2.5


def test_a_shard_that_was_just_read_tells_no_pace() -> None:
    assert pace.measure(closed([1, 50, 1], fresh=(0, 2))) == pace.measure(closed([50]))
    assert pace.measure(closed([1, 1], fresh=(0, 1))) is None
    assert pace.measure(closed([0, 0])) is None
    assert pace.measure(closed([5])._replace(seconds=None)) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=8))
def test_a_round_is_never_too_short_nor_too_long(paces: list[tuple[float, float]]) -> None:
    assert 0.5 <= pace.choose(paces) <= 120


def test_options_that_are_given_stand_above_those_of_a_mode() -> None:
    assert complete({"mode": "sync", "server": "nesterov"})["server_lr"] == 0.7
    assert complete({"mode": "async", "server_lr": 0.5})["server_lr"] == 0.5
    assert complete({"rounds": 3}) == {"rounds": 3}


def test_a_mode_chooses_the_server_that_is_left_to_it() -> None:
    assert complete({"mode": "sync", "server": "auto"})["server"] == "adam"
    assert complete({"mode": "async", "server": "auto"})["server"] == "sgd"
    assert complete({"server": "auto", "server_lr": 0.5}) == {"server": "auto", "server_lr": 0.5}


@pytest.mark.parametrize(
    ("steps", "batch_size", "rows", "expected"),
    [(25, 32, 157, "average"), (25, 32, 267, "nesterov"), (25, 32, 266, "average"), (0, 32, 1750, "nesterov"),
     (0, 256, 1750, "average"), (3, 1000, 10, "nesterov"), (4, 1000, 10, "average"), (250, 32, 1750, "average")],
)  # fmt: skip
def test_rows_that_a_round_passes_again_are_averaged(steps: int, batch_size: int, rows: int, expected: str) -> None:
    chosen, why = choose_server("auto", None, None, steps, batch_size, [rows] * 8)

    assert chosen == expected
    assert bool(why) == (expected == "average")


def test_why_changes_are_averaged_is_told_with_figures() -> None:
    assert choose_server("auto", None, None, 25, 32, [157, 158])[1].startswith(
        "a round passes the 158 rows of a shard 5.1 times, so the server optimizer is average"
    )
    assert "at least 5.1 times" in choose_server("auto", None, None, 0, 32, [157, 158])[1]


@pytest.mark.parametrize("given_", [("nesterov", None, None), ("auto", 0.5, None), ("auto", None, 0.5)])
def test_momentum_that_was_asked_for_stays_on_few_rows(given_: tuple[str, float | None, float | None]) -> None:
    assert choose_server(*given_, 25, 32, [10]) == ("nesterov", "")


@pytest.mark.parametrize("more", [{"server": "nesterov"}, {"server": "adam"}, {"server_momentum": 0.5}])
def test_momentum_where_parts_are_stale_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="momentum on changes from older weights diverges"):
        complete({"mode": "async", **more})
