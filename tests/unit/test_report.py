"""The table of all items of a run."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster import catalog, errors
from cluster.cli import output
from cluster.client import report
from tests.kit.records import record


def rows(
    tmp_path: Path, parts: list[Mapping[str, Any]], failures: Mapping[str, str], *, behind: bool = False
) -> list[list[str]]:  # fmt: skip
    missing = [SimpleNamespace(item=item, reason=reason) for item, reason in failures.items()]
    run: Any = SimpleNamespace(parts=lambda: iter(parts))
    status: Any = SimpleNamespace(failures=missing)
    report.write(run, status, tmp_path / "report.csv", behind=behind)
    with (tmp_path / "report.csv").open(newline="") as stream:
        return list(csv.reader(stream))


def test_a_report_lists_what_is_done_then_what_is_missing(tmp_path: Path) -> None:
    parts: list[Mapping[str, Any]] = [{"b.png": record("b")}, {"a.pdf#0001": record("a", node="pc2")}]
    assert rows(tmp_path, parts, {"a.pdf#0002": "damaged: no page"}) == [
        ["item", "state", "reason", "node", "seconds", "confidence"],
        ["b.png", "done", "", "pc1", "1.5", "90"],
        ["a.pdf#0001", "done", "", "pc2", "1.5", "90"],
        ["a.pdf#0002", "missing", "damaged: no page", "", "", ""],
    ]


def test_the_rows_of_a_second_run_follow_those_of_the_first(tmp_path: Path) -> None:
    rows(tmp_path, [{"old.png": record("old")}], {})
    for behind, items in ((False, ["a.png", "bad.png"]), (True, ["a.png", "bad.png", "b.png"])):
        found = rows(tmp_path, [{items[-1] if behind else "a.png": record("a")}], {} if behind else {"bad.png": "bad"},
                     behind=behind)  # fmt: skip
        assert [row[0] for row in found] == ["item", *items]


def test_an_item_that_is_there_in_part_tells_what_is_missing(tmp_path: Path) -> None:
    found = rows(tmp_path, [{"a.png": [{"label": "Ann"}]}], {"a.png": "page 2 of 3: damaged"})
    assert found[1:] == [["a.png", "done", "page 2 of 3: damaged", "", "", ""]]


def test_no_cell_of_a_report_is_a_formula(tmp_path: Path) -> None:
    found = rows(tmp_path, [{"=1.png": record("", node="@pc")}], {"-2.png": "=cmd"})
    assert [row[:4] for row in found[1:]] == [["'=1.png", "done", "", "'@pc"], ["'-2.png", "missing", "'=cmd", ""]]


def test_a_job_that_joins_its_items_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="wordcount does not tell of single items: leave out --report"):
        output.prepare(catalog.get("wordcount"), "json", {}, None, reported=tmp_path / "report.csv")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "is a folder"),
        ("none/report.csv", "there is no folder"),
        ("texts.json", "-o and --report are both"),
        ("in.png", "would write over the input"),
    ],
)
def test_a_report_that_cannot_be_written_is_told_before_the_work(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "in.png").touch()
    with pytest.raises(errors.UsageError, match=told):
        output.prepare(
            catalog.get("faces"), "json", {}, tmp_path / "texts.json", source=[str(tmp_path / "in.png")],
            reported=tmp_path / name,
        )  # fmt: skip
