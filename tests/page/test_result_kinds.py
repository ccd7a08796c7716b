"""Results on the page: faces, word counts and labels, each found, filtered and shown."""

from __future__ import annotations

from typing import Any

import pytest

from aggregators import counts
from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import results, results_counts
from cluster.web.results import Query
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page, Visitor

TEXT = "the cat and the dog and the bird saw the cat Katze <b>bold</b> =1+1"


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


def done(page: Page, job: str, values: dict[str, Any], **options: Any) -> str:
    return PageRun(page.web.client.stores, job, values, options=options, belongs=Belongs("maria")).end().id


def face(left: int, label: str = "unknown", confidence: float = 0.9) -> dict[str, Any]:
    return {"box": [left, 10, 50, 50], "score": 0.8, "label": label, "confidence": confidence}


@pytest.fixture(scope="module")
def faces(page: Page) -> str:
    return done(
        page, "faces",
        {"a.jpg": [face(1, "kim", 0.8), face(90)], "b/<i>.jpg": [face(5, "kim", 0.95)], "c.jpg": []},
    )  # fmt: skip


@pytest.fixture(scope="module")
def labels(page: Page) -> str:
    guesses = {"wren.jpg": 0.9, "owl.jpg": 0.3, "robin.jpg": 0.55}
    values = {item: [{"label": item[:-4], "confidence": sure}, {"label": "bird", "confidence": 0.1}]
              for item, sure in guesses.items()}  # fmt: skip
    return done(page, "onnx", values, top=2)


def test_people_on_pictures_are_counted_and_unknown_faces_are_no_person(maria: Visitor, faces: str) -> None:
    found = maria.get(f"/runs/{faces}/results.json")["found"]
    seen = [
        (one["label"], one["faces"], one["pictures"], one["best"]["item"])
        for one in (*found["people"], found["unknown"])
    ]
    assert seen == [("kim", 2, 2, "b/<i>.jpg"), ("unknown", 1, 1, "a.jpg")]
    html = maria.html(f"/runs/{faces}/results")
    assert ("People (1)" in html, "1 face on 1 picture" in html) == (True, True)
    assert (found["pictures"], found["faces"], found["without_faces"], found["is_described"]) == (3, 3, 1, False)
    assert [face["label"] for face in found["one"]["faces"]] == ["kim", "unknown"]
    assert (found["before"], found["next"], found["one"]["size"]) == ("", "b/<i>.jpg", None)


@pytest.mark.parametrize(
    ("show", "items"),
    [("kim", ["a.jpg", "b/<i>.jpg"]), ("unknown", ["a.jpg"]), ("no faces", ["c.jpg"]), ("nobody's", [])],
)
def test_pictures_of_one_person_or_of_nobody_are_listed_alone(
    maria: Visitor, faces: str, show: str, items: list[str]
) -> None:
    found = maria.get(f"/runs/{faces}/results.json", params={"show": show})["found"]
    assert [row["item"] for row in found["rows"]] == items
    assert found["matching"] == len(items)


def test_names_of_pictures_and_people_are_never_read_as_html(maria: Visitor, faces: str) -> None:
    html = maria.html(f"/runs/{faces}/results?item=b/<i>.jpg")
    assert "b/<i>.jpg" not in html
    assert "b/&lt;i&gt;.jpg" in html


def test_words_are_counted_filtered_and_cut_into_pages() -> None:
    words = results_counts.read([counts.of_text(TEXT.encode())], {"top": None})
    found = results_counts.shown(words, Query())
    assert [(row.rank, row.word, row.times) for row in found.top[:3]] == [(1, "the", 4), (2, "and", 2), (3, "cat", 2)]
    assert (found.distinct, found.total, found.matching, found.is_cut) == (9, 14, 9, False)
    assert (found.top[0].length, found.top[1].length) == (1.0, 0.5)
    bare = results_counts.shown(words, Query(show="no-stop-words"))
    assert [row.word for row in bare.top] == ["cat", "<b>bold</b>", "=1+1", "Katze", "bird", "dog", "saw"]
    assert [row.word for row in results_counts.shown(words, Query(q="KAT")).rows] == ["Katze"]
    assert [row.word for row in results_counts.shown(words, Query(after=2, most=1)).rows] == ["cat"]
    assert results_counts.shown(words, Query(q="zebra")).matching == 0


def test_only_the_words_that_a_run_was_to_give_are_shown() -> None:
    words = results_counts.read([counts.of_text(TEXT.encode())], {"top": 2})
    assert (words.rows, words.distinct, words.total) == ([("the", 4), ("and", 2)], 2, 14)


@pytest.mark.parametrize("word", ["the", "The", "«und»", "daß", "--", "WIE,"])
def test_stop_words_are_known_whatever_stands_around_them(word: str) -> None:
    assert results_counts.is_stop_word(word)
    assert not results_counts.is_stop_word(f"{word}ophone")


def test_labels_are_listed_with_the_least_sure_first_and_counted(maria: Visitor, labels: str) -> None:
    found = maria.get(f"/runs/{labels}/results.json")["found"]
    assert [row["item"] for row in found["rows"]] == ["owl.jpg", "robin.jpg", "wren.jpg"]
    assert [bar["pictures"] for bar in found["tenths"]] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 1]
    only = maria.get(f"/runs/{labels}/results.json", params={"show": "wren", "sort": "name"})["found"]
    assert ([row["item"] for row in only["rows"]], only["matching"], only["labels"]) == (["wren.jpg"], 1, 3)
    assert "0.30" in maria.html(f"/runs/{labels}/results")


def test_a_job_without_a_page_of_its_own_shows_the_beginning(
    page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "KINDS", {})
    monkeypatch.setattr(results, "MOST_JSON_CHARS", 1000)
    values = {f"{number:04}.jpg": [{"label": "owl", "confidence": 0.5}] for number in range(250)}
    for items, is_whole in ((250, False), (1, True)):
        run = done(page, "onnx", dict(list(values.items())[:items]))
        shown = maria.get(f"/runs/{run}/results.json")
        assert (shown["kind"], shown["found"]["is_whole"]) == ("any", is_whole)
        assert shown["found"]["json_text"].startswith('{\n  "0000.jpg": [')
