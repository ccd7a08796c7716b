"""What gateways tell of the requests through them, and what becomes of it."""

from __future__ import annotations

import pytest

from cluster.client import services
from cluster.gateway.line import Line
from cluster.names import Target
from cluster.services.traffic import Row
from cluster.texts import service_texts


def line(version: int = 3) -> Line:
    return Line(Target("office", version), lambda reply: None)


def test_a_line_tells_its_rate_of_the_last_seconds_and_its_latency() -> None:
    told = line()
    told.tell(0.0)
    for number in range(100):
        told.enter(0.0)
        told.answered((number + 1) / 1000, 0)
        told.leave(0.0)
    told.codes.update({200: 98, 500: 1, 504: 1, 429: 5})
    told.enter(1.0)
    found = told.tell(2.0)
    assert (found.service, found.version, found.answers, found.per_s) == ("office", 3, 100, 50.0)
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (50.0, 95.0, 99.0)
    assert (found.failed, found.waiting) == (2, 1)
    for second in range(3, 10):
        found = told.tell(second)
    assert found.per_s == 0.0
    assert found.answers == 100


def test_a_line_that_had_no_answer_tells_no_latency() -> None:
    found = line().tell(1.0)
    assert (found.per_s, found.p50_ms, found.answers) == (0.0, None, 0)


def test_the_rows_of_all_gateways_are_summed_up_by_version() -> None:
    rows = [
        Row(service="office", version=4, per_s=1.5, answers=10, waiting=1, p95_ms=8.0, late=1),
        Row(service="office", version=3, per_s=2.0, answers=20, p95_ms=2.0),
        Row(service="office", version=4, per_s=0.5, answers=5, waiting=2, p95_ms=3.0, refused=4),
    ]
    found = services._traffic(rows)
    assert [(one.version, one.gateways, one.answers_per_s, one.answers) for one in found] == [
        (3, 1, 2.0, 20),
        (4, 2, 2.0, 15),
    ]
    assert (found[1].waiting, found[1].late, found[1].refused, found[1].p95_ms, found[1].p50_ms) == (3, 1, 4, 8.0, None)


@pytest.mark.parametrize("odd", [{"per_s": float("inf")}, {"answers": -1}, {"version": 0}, {"p95_ms": "slow"}])
def test_odd_rows_are_none(odd: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Row.model_validate({"service": "office", "per_s": 1.0, "answers": 1, **odd})


@pytest.mark.parametrize(("given", "told"), [(None, ""), (4.123, "4.1 ms"), (1203.4, "1,203 ms")])
def test_a_latency_is_told_in_a_few_characters(given: float | None, told: str) -> None:
    assert service_texts.milliseconds(given) == told
