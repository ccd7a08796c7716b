"""What a model said of rows, on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from aggregators import predictions
from cluster.client.run import Belongs
from cluster.roles import Role
from tests.kit.page_runs import PageRun, whole
from tests.kit.pages import Page, Visitor

np = pytest.importorskip("numpy")


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


def block(start: int, labels: Sequence[int], classes: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The item of some rows, and what is said of them."""
    scores = np.eye(len(classes))[list(labels)]
    columns = predictions.packed(scores, classes, {}, probabilities=True)
    name = f"letters.csv rows {start}-{start + len(labels) - 1}"
    return name, {"start": start, "rows": len(labels), "columns": columns}


def test_rows_are_listed_by_pages_with_how_often_what_was_said(page: Page, maria: Visitor) -> None:
    classes = ["A", "<b>", "C"]
    values = dict([block(0, [0, 1, 1], classes), block(3, [1] * 300 + [2], classes)])
    run = PageRun(page.web.client.stores, "predict", values, options={"model": "m:1"}, belongs=Belongs("maria")).end()
    path = f"/runs/{run.id}/results.json"
    shown = whole(maria, run.id)
    found = shown["found"]
    assert (shown["kind"], found["total"], found["matching"], len(found["rows"])) == ("rows", 304, 304, 200)
    assert found["columns"] == ["row", "label", "probability:A", "probability:<b>", "probability:C"]
    assert found["rows"][1] == [1, "<b>", 0.0, 1.0, 0.0]
    assert [(one["label"], one["times"]) for one in found["labels"]] == [("<b>", 302), ("A", 1), ("C", 1)]
    assert maria.get(path, params={"after": 303})["found"]["rows"] == [[303, "C", 0.0, 0.0, 1.0]]
    assert maria.get(path, params={"q": '"c'})["found"]["rows"] == []
    assert [row[0] for row in maria.get(path, params={"q": "c"})["found"]["rows"]] == [303]
    html = maria.html(f"/runs/{run.id}/results")
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "1 to 200 of 304" in html
    assert maria.html(f"/runs/{run.id}/results?after=303").count("<tr>") == 2


def test_rows_that_are_missing_are_shown_as_missing(page: Page, maria: Visitor) -> None:
    values = dict([block(0, [0], ["A", "B"])])
    lost = {"letters.csv rows 1-2": "its node was lost"}
    run = PageRun(
        page.web.client.stores, "predict", values, lost, {"model": "m:1"}, Belongs("maria")
    ).end()  # fmt: skip
    found = whole(maria, run.id)["found"]
    assert found["rows"] == [[0, "A", 1.0, 0.0], [1, None, None, None], [2, None, None, None]]
    assert maria.html(f"/runs/{run.id}/results").count('<span class="soft">missing</span>') == 6


def test_a_run_that_goes_on_shows_no_rows_yet(page: Page, maria: Visitor) -> None:
    values = dict([block(0, [0], ["A", "B"])])
    run = PageRun(page.web.client.stores, "predict", values, options={"model": "m:1"}, belongs=Belongs("maria"))
    assert maria.get(f"/runs/{run.id}/results.json")["found"] is None


def test_a_look_for_texts_leaves_the_rows_as_they_are(page: Page, maria: Visitor) -> None:
    values = dict([block(0, [0], ["A", "B"])])
    run = PageRun(page.web.client.stores, "predict", values, options={"model": "m:1"}, belongs=Belongs("maria")).end()
    answer = maria.ask("GET", f"/runs/{run.id}/text.json", params={"item": "x"})
    assert (answer.status_code, "no texts" in answer.text) == (404, True)
    assert whole(maria, run.id)["found"]["total"] == 1


def test_a_file_that_has_other_tables_is_made_anew(page: Page, maria: Visitor) -> None:
    values = dict([block(0, [0], ["A", "B"])])
    run = PageRun(page.web.client.stores, "predict", values, options={"model": "m:1"}, belongs=Belongs("maria")).end()
    known = page.web.client.run(run.id)
    page.web.results.of(known, known.status(failures=False), 10)
    assert maria.get(f"/runs/{run.id}/results.json")["found"] is None
    assert whole(maria, run.id)["found"]["total"] == 1
