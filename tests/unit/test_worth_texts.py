"""What `cluster models show` tells of a trained model."""

from __future__ import annotations

from cluster.cli import worth_texts

TEST = {"rows": 4000, "accuracy": 0.95123, "balanced_accuracy": 0.94, "confusion": [[9, 1], [0, 12]]}


def test_scores_stand_above_the_table_of_confusions() -> None:
    told = worth_texts.lines({"classes": ["a", "b"], "metrics": {"test": TEST, "valid": {"rows": 9, "accuracy": 1}}})
    assert told == [
        "test         accuracy 0.9512, balanced accuracy 0.9400 on 4,000 rows",
        "valid        accuracy 1.0000 on 9 rows",
        "confusion    a row for each true class, a column for each answer",
        "     a  b",
        "  a  9  1",
        "  b  . 12",
    ]


def test_of_many_classes_the_pairs_confused_most_are_named() -> None:
    classes = [f"class {number}" for number in range(worth_texts.MOST_CLASSES + 1)]
    matrix = [[10 if true == said else 0 for said in range(len(classes))] for true in range(len(classes))]
    matrix[3][5], matrix[7][1] = 4, 2
    assert worth_texts.confusion(classes, matrix)[1:] == [
        "  class 3 taken for class 5: 4 of 14",
        "  class 7 taken for class 1: 2 of 12",
    ]


def test_a_model_of_numbers_has_an_error_and_no_table() -> None:
    told = worth_texts.lines({"classes": [], "metrics": {"test": {"rows": 10, "rmse": 2.5, "r2": 0.75}}})
    assert told == ["test         rmse 2.5000, r2 0.7500 on 10 rows"]


def test_parameters_of_another_form_are_no_scores() -> None:
    odd = {"metrics": {"test": {"accuracy": "high", "confusion": [[1, 2], [3]]}, "valid": 3}}
    assert worth_texts.lines({"metrics": "good"}) == worth_texts.lines({}) == worth_texts.lines(odd) == []


def test_other_parameters_take_a_line_for_each_name() -> None:
    told = worth_texts.readable({"metrics": {}, "curve": [], "sizes": [1, 2], "net": {"kind": "mlp", "words": "[ a ]"}})
    assert told == '{\n  "sizes": [1, 2],\n  "net": {\n    "kind": "mlp",\n    "words": "[ a ]"\n  }\n}'
