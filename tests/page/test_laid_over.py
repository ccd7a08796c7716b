"""What was done again stands in the result of the run from which it was missing."""

from __future__ import annotations

import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cluster.client import Client
from cluster.client.missing_items import Missing
from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import again, laid_over, results
from cluster.web.problems import Problem
from cluster.web.results_index import Standing
from tests.kit.page_runs import PageRun, whole
from tests.kit.pages import Page, Visitor
from tests.kit.records import record


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


def ended(page: Page, values: dict[str, Any], failures: dict[str, str], follows: str = "", job: str = "ocr") -> str:
    belongs = Belongs("maria", follows=follows)
    run = PageRun(page.web.client.stores, job, values, failures, belongs=belongs)
    return run.end().id


def test_what_was_done_again_is_shown_found_and_downloaded(page: Page, maria: Visitor) -> None:
    torn = {"book.pdf#0002": "truncated", "b.png": "truncated"}
    first = ended(page, {"book.pdf#0001": record("page one"), "a.png": record("letter")}, torn)
    assert whole(maria, first)["found"]["items"] == 2
    done = {"book.pdf#0002": record("page two"), "a.png": record("other words")}
    second = ended(page, done, {"b.png": "truncated"}, first)
    assert whole(maria, first)["found"]["items"] == 3
    assert whole(maria, first, q="two")["found"]["found"] == 1
    assert whole(maria, first, q="other")["found"]["found"] == 0
    ended(page, {"b.png": record("at last")}, {}, second)
    assert whole(maria, first)["found"]["items"] == 4
    told = maria.ask("GET", f"/runs/{first}/download/json").json()
    assert told == {"book.pdf#0001": "page one", "book.pdf#0002": "page two", "a.png": "letter", "b.png": "at last"}
    archive = zipfile.ZipFile(io.BytesIO(maria.ask("GET", f"/runs/{first}/download/text-folder").content))
    assert sorted(archive.namelist()) == ["a.png.txt", "b.png.txt", "book.pdf.txt"]
    assert archive.read("book.pdf.txt").decode() == "page one\fpage two"
    page.web.results.forget(first)
    assert whole(maria, first)["found"]["items"] == 4


def test_pages_agree_on_what_was_done_again_since(page: Page, maria: Visitor) -> None:
    torn = dict.fromkeys(["a.png", "b.png", "book.pdf#0002"], "truncated")
    first = ended(page, {"book.pdf#0001": record("one")}, torn)
    assert maria.get(f"/runs/{first}/results.json")["done_again"] == []
    second = ended(page, {"a.png": record("a"), "book.pdf#0002": record("two")}, {"b.png": "truncated"}, first)
    by = {"run": second, "items": 2, "is_seen": True}
    missing = maria.get(f"/runs/{first}.json")["missing"]
    assert (missing["total"], missing["done_again"]) == (3, [by])
    assert missing["items_again"] == {"a.png": second, "book.pdf#0002": second}
    assert maria.get(f"/runs/{first}/results.json")["done_again"] == [by]
    told = f'2 of them done again in <a href="/runs/{second}">{second}</a>'
    for path in ("", "/results", "/missing"):
        assert told in maria.html(f"/runs/{first}{path}")
    for follows in (first, second):
        ended(page, {"b.png": record("b")}, {}, follows)
    assert sum(one["items"] for one in maria.get(f"/runs/{first}/results.json")["done_again"]) == 3
    page.web.client.run(first).share("cluster")
    other = page.visitor(Role.VIEWER)
    assert not any(one["is_seen"] for one in other.get(f"/runs/{first}.json")["missing"]["done_again"])
    assert f'href="/runs/{second}"' not in other.html(f"/runs/{first}")


def test_only_what_is_still_missing_is_done_once_more() -> None:
    missing = Missing("ocr-1", "ocr", {}, ["a", "b", "c"], is_kept=True)
    assert again.chosen({"b"}, missing, None) == ["a", "c"]
    assert again.chosen({"b"}, missing, ["b", "x"]) == ["b"]
    with pytest.raises(Problem, match="is done again: name items"):
        again.chosen({"a", "b", "c"}, missing, None)
    with pytest.raises(Problem, match="none of what was named"):
        again.chosen((), missing, ["x"])


def test_runs_that_are_laid_over_one_hold_no_other_up(
    page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = (ended(page, {"a.png": record("x")}, {"b.png": "truncated"}) for _ in range(2))
    whole(maria, slow)
    whole(maria, other)
    follower = ended(page, {"b.png": record("y")}, {}, slow)
    begun, go_on = threading.Event(), threading.Event()

    def values(*_: Any) -> dict[str, Any]:
        begun.set()
        go_on.wait(20)
        return {"b.png": record("y")}

    monkeypatch.setattr(laid_over, "values", values)
    with ThreadPoolExecutor() as threads:
        laid = threads.submit(whole, maria, slow)
        try:
            assert begun.wait(20), follower
            standing = threads.submit(look, page, other).result(5)
        finally:
            go_on.set()
        assert standing.is_whole
        assert laid.result(20)["found"]["items"] == 2


def look(page: Page, run: str) -> Standing:
    known = page.web.client.run(run)
    return page.web.results.of(known, known.status(failures=False))


def test_faces_that_were_found_by_another_try_are_shown_with_the_others(page: Page, maria: Visitor) -> None:
    face = {"box": [1, 1, 50, 50], "score": 0.8, "label": "unknown", "confidence": 0.9}
    first = ended(page, {"a.jpg": [face]}, {"b.jpg": "truncated"}, job="faces")
    assert whole(maria, first)["found"]["faces"] == 1
    ended(page, {"b.jpg": [face, face]}, {}, first, job="faces")
    found = whole(maria, first, item="b.jpg")["found"]
    assert (found["pictures"], found["faces"]) == (2, 3)
    assert {one["run"] for one in found["one"]["faces"]} == {first}


@pytest.mark.parametrize("job", ["onnx", "ocr"])
def test_a_result_shown_as_json_has_what_was_done_again(
    job: str, page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "KINDS", {})
    value = record("owl") if job == "ocr" else [{"label": "owl", "confidence": 0.5}]
    first = ended(page, {"a.jpg": value}, {"b.jpg": "truncated"}, job=job)
    before = maria.get(f"/runs/{first}/results.json")["found"]["json_text"]
    ended(page, {"b.jpg": value}, {}, first, job=job)
    after = maria.get(f"/runs/{first}/results.json")["found"]["json_text"]
    assert [text.count("owl") for text in (before, after)] == [1, 2]


def test_followers_are_found_however_many_runs_there_are(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ended(page, {"a.png": record("x")}, {"b.png": "truncated"})
    second = ended(page, {}, {"b.png": "truncated"}, first)
    third, fourth = (ended(page, {"b.png": record("y")}, {}, one) for one in (first, second))
    monkeypatch.setattr(Client, "runs_page", lambda *_, **__: pytest.fail("all runs were listed"))
    assert [run.id for run in page.web.followers.of(first)] == [second, third, fourth]
    assert page.web.client.run(first).followers == [second, third]
    assert page.web.followers.of(fourth) == []
    page.web.client.prune([page.web.client.run(third).status()])
    assert [run.id for run in page.web.followers.of(first)] == [second, fourth]


def test_values_stand_beside_the_pages_of_their_document() -> None:
    before: list[dict[str, Any]] = [{"a#0001": 1, "b": 2}, {"c#0003": 3}, {"a#0002": None, "c#0001": None, "d": None}]
    laid = {"c#0001": "c1", "a#0002": "a2", "d": "d"}
    assert list(laid_over.parts(before, laid)) == [
        {"a#0001": 1, "a#0002": "a2", "b": 2}, {"c#0003": 3, "c#0001": "c1"}, {"d": "d"},
    ]  # fmt: skip
