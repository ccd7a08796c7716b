"""How the page draws the curve of a training."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.client.run import RoundsStatus, Status
from cluster.web.charts import BOTTOM, COLUMNS, HEIGHT, LEFT, TOP, WIDTH, chart
from cluster.web.training import LATEST, Course, Live, Trainings
from tests.unit.test_curve import row


def status(closed: int, **more: Any) -> Status:
    """Of a run in rounds of which so many are closed."""
    rounds = RoundsStatus(round=closed - 1, planned=40, row=None, late=3, lost=1, rejected=2)
    found = {
        "run": "train-1a2b3c4d", "job": "train", "version": "1", "requirement": "train", "state": "running",
        "items_total": 40, "items_done": closed, "items_failed": 0, "failures": [], "chunks_total": None,
        "chunks_published": 0, "chunks_settled": 0, "chunks_running": 0, "duplicates": 0, "retries": 0, "nodes": {},
        "rejections": {}, "coordinator": None, "role": None, "options": {}, "submitter": "a", "error": None,
        "started_at": "2026-11-30T00:00:00Z", "finished_at": None, "seconds": 1.0, "rounds": rounds,
    }  # fmt: skip
    return Status.model_validate({**found, **more})


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (each.split(",") for each in text.split())]


def test_a_line_fills_its_drawing_from_first_to_last_round() -> None:
    found = chart("loss", [(0, 2.0), (1, 1.0), (2, 0.0)])
    assert points(found.points) == [
        (LEFT, TOP),
        ((LEFT + WIDTH) / 2, (HEIGHT - BOTTOM + TOP) / 2),
        (WIDTH, HEIGHT - BOTTOM),
    ]
    assert [tick.text for tick in found.ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert (found.first, found.last, found.now) == ("0", "2", "0.000")


@pytest.mark.parametrize("values", [[(5, 1.0)], [(0, 0.0), (1, 0.0)], [(0, float("nan"))], [(0, -3e9), (1, 1e-9)]])
def test_odd_values_make_a_drawing_without_odd_numbers(values: list[tuple[int, float]]) -> None:
    found = chart("loss", values)
    assert "nan" not in found.points
    assert all(0 <= y <= HEIGHT for _, y in points(found.points))
    assert 2 <= len(found.ticks) <= 6


def test_a_long_line_keeps_its_extremes_in_few_points() -> None:
    values = [(number, 1.0) for number in range(10_000)]
    values[7_001] = (7_001, 9.0)
    found = points(chart("loss", values).points)
    assert len(found) <= 2 * COLUMNS
    assert min(y for _, y in found) < 60


def test_the_page_shows_best_latest_and_late_of_a_curve() -> None:
    course = Course()
    for number in range(20):
        course.add(row(number, accuracy=number / 20, late_shards=[number % 2, 5], rejected={"3": "<b>NaN</b>"}))
    shown = course.shown("train-1a2b3c4d", status(20))
    assert (shown.rounds, shown.planned, shown.best) == (20, 40, "accuracy 0.950 in round 19")
    assert (shown.late, shown.lost, shown.rejected) == (3, 1, 2)
    assert [chart.name for chart in shown.charts] == ["loss", "accuracy"]
    assert len(shown.rows) == LATEST
    assert shown.rows[0][shown.heads.index("round")] == "19"
    assert [(late.shard, late.times) for late in shown.late_shards] == [(5, 20), (0, 10), (1, 10)]
    assert shown.reasons[-1] == "round 19: shard 3 rejected: <b>NaN</b>"


def test_the_shares_of_the_time_of_all_rounds_add_up() -> None:
    course = Course()
    course.add(row(0))
    course.add(row(1))
    shares = course.shown("train-1a2b3c4d", status(2)).shares
    assert [share.name for share in shares] == ["wait", "fetch", "compute", "encode", "push", "read", "step"]
    assert shares[-1].before + shares[-1].share == pytest.approx(1.0)
    assert shares[2].seconds == pytest.approx(2.0)
    assert {share.where for share in shares} == {"node", "coordinator"}


class Run:
    """A run with a curve that grows."""

    id = "train-1a2b3c4d"

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.read = 0
        """Rows that were read."""

    def curve_since(self, known: str = "") -> list[tuple[str, dict[str, Any]]]:
        found = [(str(number), found) for number, found in enumerate(self.rows) if not known or number > int(known)]
        self.read += len(found)
        return found


def test_watchers_hear_of_rounds_once_and_of_the_end_at_once() -> None:
    run = Run()
    live = Live(run)  # type: ignore[arg-type]
    run.rows += [row(0), row(1)]
    first = live.look(status(2))
    assert first is not None
    assert first.rounds == 2
    assert live.look(status(2)) is None
    run.rows.append(row(2))
    assert live.look(status(3)) is None  # so soon
    last = live.look(status(3, state="done"))
    assert last is not None
    assert last.rounds == 3


def test_a_run_without_rounds_has_nothing_to_tell() -> None:
    assert Live(Run()).look(status(0, rounds=None)) is None  # type: ignore[arg-type]


def test_a_page_that_is_opened_again_reads_only_the_new_rounds() -> None:
    run, trainings = Run(), Trainings()
    run.rows += [row(0), row(1)]
    for _ in range(3):
        assert trainings.of(run, status(2)).rounds == 2  # type: ignore[arg-type, union-attr]
    run.rows.append(row(2))
    assert trainings.of(run, status(3)).rounds == 3  # type: ignore[arg-type, union-attr]
    assert run.read == 3
    assert trainings.of(run, status(3, rounds=None)) is None  # type: ignore[arg-type]
