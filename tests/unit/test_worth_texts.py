"""What `cluster models show` tells of a trained model."""

from __future__ import annotations

import orjson

from cluster.client.result import readable_json
from cluster.texts import worth_texts

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
    told = worth_texts.others({"metrics": {}, "curve": [], "sizes": [1, 2], "net": {"kind": "mlp", "words": "[,a ]"}})
    assert told == '{\n  "sizes": [1, 2],\n  "net": {\n    "kind": "mlp",\n    "words": "[,a ]"\n  }\n}'


def test_a_table_in_json_has_a_line_for_each_row() -> None:
    given = {
        "test": {"confusion": [[9, 1], [0, 12]], "rows": [{"a": [1]}]},
        "notes": ["a, b", "c"],
        "none": {},
        "f": 0.1,
    }
    told = readable_json(given)
    assert orjson.loads(told) == given
    assert told.splitlines()[2:6] == ['    "confusion": [', "      [9, 1],", "      [0, 12]", "    ],"]
    assert '  "notes": ["a, b", "c"],' in told.splitlines()


def test_a_report_says_in_two_lines_what_a_training_gave() -> None:
    traffic = {"up_bytes": 2**20, "down_bytes": 2**21, "share_of_sync_fp32": 0.0076}
    report = {
        "model": "letters:1", "rounds": 40, "best_round": 37, "test": TEST, "valid": {"rows": 9, "accuracy": 1},
        "baseline": {"always": "a", "accuracy": 0.45}, "traffic": traffic, "late": 3, "lost": 1, "rejected": 0,
        "notes": ["a column is constant"],
    }  # fmt: skip
    assert worth_texts.report(report) == [
        "letters:1: test accuracy 0.9512, balanced accuracy 0.9400 on 4,000 rows (always a: accuracy 0.4500);"
        " the best weights came after 37 of 40 rounds",
        "up 1.0 MiB, down 2.0 MiB: 0.76 % of synchronous training; 3 parts late, of which 1 lost; 0 rejected",
        "note: a column is constant",
    ]
    assert worth_texts.report({"model": "office:1", "people": {}, "notes": ["of another job"]}) == []
    apart = {"mode": "async", "best_round": 35, "rounds": 8, "baseline": {"always": 35.7625429, "rmse": 9.0}}
    valid = worth_texts.report({"model": "m:1", "test": {}, "valid": {"rmse": 2.0, "rows": 5}, **apart})
    assert valid == ["m:1: valid rmse 2.0000 on 5 rows (always 35.7625: rmse 9.0000)"]


def test_a_report_says_how_sub_models_were_joined() -> None:
    told = worth_texts.report(
        {
            "model": "letters:1", "test": {"accuracy": 0.96, "rows": 400}, "sub_models": [{}, {}],
            "combine": {"chosen": "stack", "validation": {"average": 0.9455, "stack": 0.958}}, "notes": ["a note"],
        }
    )  # fmt: skip

    assert told == [
        "letters:1: test accuracy 0.9600 on 400 rows",
        "2 sub-models joined by stack (on validation rows: average 0.9455, stack 0.9580)",
        "note: a note",
    ]
