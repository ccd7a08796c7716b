"""What the page shows of the worth of a model."""

from __future__ import annotations

import pytest

from cluster.web import reports
from tests.unit.test_worth_texts import TEST

ENSEMBLE = {
    "model": "letters:2", "based_on": "letters:1", "test": TEST, "valid": {"accuracy": 0.9},
    "baseline": {"always": "a", "accuracy": 0.45}, "classes": ["a", "b"],
    "combine": {"chosen": "stack", "validation": {"vote": 0.91, "stack": 0.93}},
    "sub_models": [{"kind": "rf", "part": 0, "rows": 10, "node": "n", "seconds": 0.5, "valid": 0.9, "size_bytes": 3}],
    "missing": [{"kind": "rf", "part": 1, "why": "it fell over", "node": "m"}],
    "late": 3, "lost": 1, "rejected": 0, "traffic": {"up_bytes": 2**20, "down_bytes": 0}, "seconds": 61.0,
    "nodes": {"n": 3}, "notes": ["a column is constant"],
}  # fmt: skip


def test_a_report_becomes_tables_of_scores_and_combiners() -> None:
    found = reports.of(ENSEMBLE, ENSEMBLE["classes"])
    assert [(score.on, score.rows, score.scores["accuracy"]) for score in found.scores] == [
        ("test rows", 4000, 0.95123), ("validation rows", None, 0.9), ("always said: a", None, 0.45),
    ]  # fmt: skip
    assert (found.combined_by, found.combiners) == ("stack", {"vote": 0.91, "stack": 0.93})
    assert [each.why for each in found.sub_models] == ["", "it fell over"]
    assert found.costs[0] == "trained in 1:01 min on 1 node"
    assert "3 parts late, of which 1 lost" in found.costs[1]


def test_the_confusions_of_test_rows_have_names_and_the_worst_first() -> None:
    found = reports.of(ENSEMBLE, ["a", "b"]).confusion
    assert found is not None
    assert found.table == [[9, 1], [0, 12]]
    assert [(pair.true, pair.said, pair.times, pair.of) for pair in found.pairs] == [("a", "b", 1, 10)]
    many = [[0] * 100 for _ in range(100)]
    many[3][7] = 2
    few = reports.of({"test": {**TEST, "confusion": many}}).confusion
    assert few is not None
    assert few.table == []
    assert [(pair.true, pair.said) for pair in few.pairs] == [("3", "7")]


def test_the_parameters_of_a_bundle_tell_the_same_scores() -> None:
    found = reports.of_parameters({"classes": ["a", "b"], "metrics": {"test": TEST}, "combine": ENSEMBLE["combine"]})
    assert found.scores[0].scores["accuracy"] == 0.95123
    assert found.confusion is not None
    assert found.combined_by == "stack"


def test_people_of_a_model_stand_with_their_pictures() -> None:
    found = reports.of({"people": {"ada": 5}, "threshold": 0.66, "self_check": {"right": 1.0, "strangers_named": None}})
    assert (found.people, found.threshold, found.self_check) == ({"ada": 5}, 0.66, {"right": 1.0})


@pytest.mark.parametrize(
    "odd", [{"test": 3}, {"test": {"accuracy": "high", "confusion": [[1, 2], [3]]}}, {"combine": {"validation": [1]}},
            {"sub_models": {"a": 1}, "missing": [3]}, {"people": {"a": "many"}, "notes": 3}, {"traffic": {"x": 1}},
            {"metrics": "good"}, {"seconds": "long", "nodes": 3}],
)  # fmt: skip
def test_reports_of_another_form_show_nothing_and_break_nothing(odd: dict[str, object]) -> None:
    found = reports.of(odd)
    assert not found.scores
    assert found.confusion is None
    assert not found.people
    assert reports.of_parameters(odd).scores == []
