"""The curve of a run as a table, as CSV and as a picture."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster import errors
from cluster.cli import plot
from cluster.texts import curve_texts

TIMES = {"wait": 0.1, "fetch": 0.01, "compute": 1.0, "encode": 0.02, "push": 0.03, "read": 0.04, "step": 0.05}


def row(number: int, **more: Any) -> dict[str, Any]:
    """A row as the coordinator writes it."""
    found = {
        "round": number, "kind": "train", "at": 1.0 + 1.25 * number, "wall_s": 1.25, "deadline_s": 1.5,
        "parts": 8, "late": 0, "late_shards": [], "lost": 0, "rejected": {},
        "up_bytes": 88_000, "down_bytes": 2_000_000, "times": {**TIMES, "write": 0.0},
        "loss": 2.0, "accuracy": 0.5, "steps": 200,
    }  # fmt: skip
    return {**found, **more}


def words(line: str) -> list[str]:
    return line.replace(" KiB", "K").replace(" MiB", "M").split()


def test_a_row_stands_below_the_heads_of_its_table() -> None:
    found = row(3, late=1, late_shards=[2], lost=1, rejected={"5": "NaN"}, parts=6)
    table = curve_texts.Table(found)
    head, line = table.head.replace("at s", "at").split(), words(table.line(found))
    assert dict(zip(head, line, strict=False)) == {
        "round": "3", "kind": "train", "at": "4.8", "loss": "2.0000", "accuracy": "0.5000", "parts": "6", "late": "1",
        "lost": "1", "rejected": "1", "steps": "200", "up": "85.9K", "down": "1.9M", "wait": "100", "fetch": "10",
        "compute": "1000", "encode": "20", "push": "30", "|": "|", "read": "40", "step": "50", "write": "0",
    }  # fmt: skip


def test_all_lines_of_a_table_end_in_the_same_column() -> None:
    rows = [row(number, loss=10.0 ** (2 - number), accuracy=number / 10) for number in range(4)]
    table = curve_texts.Table(rows[0])
    assert len({len(table.line(one)) for one in rows}) == 1
    assert len(table.head) == len(table.line(rows[0])) + len(" ms")


def test_times_are_left_out_where_the_terminal_is_narrow() -> None:
    wide = curve_texts.Table(row(0))
    narrow = curve_texts.Table(row(0), wide.room_for_times - 1)
    assert not narrow.has_times
    assert "compute" not in narrow.head
    assert wide.head.startswith(narrow.head)
    assert curve_texts.Table(row(0), wide.room_for_times).head == wide.head


def test_a_job_with_other_numbers_has_them_as_columns() -> None:
    table = curve_texts.Table({"round": 0, "at": 1.0, "rmse": 3.25, "stale": 4, "note": "text", "flag": True})
    assert table.head.split()[4:5] == ["rmse"]
    assert "stale" in table.head
    assert "note" not in table.head
    assert "flag" not in table.head
    assert "loss" not in table.head


def test_scores_of_test_rows_stand_below_the_others_and_are_no_best_round() -> None:
    last = {"round": 2, "kind": "test", "at": 4.0, "test_accuracy": 0.95, "parts": 8}
    rows = [row(0), row(1, accuracy=0.9), last]
    assert words(curve_texts.Table(rows[0]).line(last))[:5] == ["2", "test", "4.0", "0.9500", "8"]
    assert "best accuracy 0.9000 in round 1" in curve_texts.summary(rows)[0]


def test_the_summary_names_the_best_round_and_all_rejections() -> None:
    rows = [row(0), row(1, accuracy=0.9), row(2, accuracy=0.8, late=2, lost=1, rejected={"4": "its norm is 1e9"})]
    told = "\n".join(curve_texts.summary(rows))
    assert "3 rounds in 3.5 s, best accuracy 0.9000 in round 1" in told
    assert "2 parts late, of which 1 lost; 1 rejected; up 257.8 KiB, down 5.7 MiB" in told
    assert "compute 80%" in told
    assert "round 2: shard 4 rejected: its norm is 1e9" in told
    assert curve_texts.summary([]) == []


def test_the_summary_tells_the_shapes_and_why_the_last_was_taken() -> None:
    tree = {"topology": "tree", "why": "tree is the fastest", "site_bytes": 2**20}
    rows = [row(0), row(1, topology="star", why="", site_bytes=0), row(2, **tree), row(3, **tree)]
    told = "\n".join(curve_texts.summary(rows))
    assert "star in 1 round, tree in 2 rounds; 2.0 MiB to the stores of sites" in told
    assert "round 3: tree, tree is the fastest" in told
    assert "topology" not in curve_texts.Table(rows[2]).head


def test_of_an_error_the_smallest_one_is_best() -> None:
    rows = [{"round": 0, "rmse": 3.0}, {"round": 1, "rmse": 2.0}, {"round": 2, "rmse": float("inf")}]
    assert curve_texts.best_of(rows) == ("rmse", rows[1])
    assert curve_texts.best_of([{"round": 0}]) is None


def test_csv_has_a_column_for_each_field_of_any_row() -> None:
    out = io.BytesIO()
    curve_texts.write_csv([row(0), row(1, rejected={"1": "a", "2": "b"}, staleness=2)], out)
    first, second = csv.DictReader(io.StringIO(out.getvalue().decode()))
    assert (first["round"], first["at_s"], first["compute_s"], first["rejected"]) == ("0", "1.0", "1.0", "0")
    assert (second["rejected"], second["staleness"], first["staleness"]) == ("2", "2", "")
    assert not {"times", "late_shards"} & set(first)
    assert first["deadline_s"] == "1.5"


def test_the_picture_is_a_png_with_a_point_for_each_round() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    drawn = plot.png([row(0), row(1, accuracy=0.9)], "a run of $5")
    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    assert drawn != plot.png([row(0), row(1, accuracy=0.1)], "a run of $5")
    assert plot.png([{"round": 0, "at": 1.0}], "another job").startswith(b"\x89PNG")


def test_without_matplotlib_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(errors.NotInstalled, match=r"pip install \"cluster\[plots\]\""):
        plot.check(None, Path("picture.png"), "--png")


def test_rounds_of_several_kinds_share_a_table() -> None:
    rows = [
        {"round": 0, "kind": "fit", "sub_models": 8},
        {"round": 1, "kind": "predict", "accuracy": 0.9},
        {"round": 2, "kind": "test", "test_accuracy": 0.8},
    ]
    table = curve_texts.Table(curve_texts.every_field(rows))
    heads = words(table.head)

    assert heads.count("accuracy") == heads.count("sub_models") == 1
    assert "test_accuracy" not in heads
    assert ["0.9000" in table.line(one) or "0.8000" in table.line(one) for one in rows] == [False, True, True]
