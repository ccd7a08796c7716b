"""Results on the page: the texts of a run, found and shown."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web.watched import Watched
from tests.kit.page_runs import PageRun, whole
from tests.kit.pages import Page, Visitor
from tests.kit.records import record
from tests.kit.waiting import wait_until

LETTERS = {
    "letters/thank-you.jpg": record("Dear Uncle Henry,\n\nthank you for the telescope!\n", words=True),
    "letters/reply.jpg": record("Glad that the télescope\nis in use", words=True),
    "bills/rent#1.png": record("Rent for May", words=True),
}


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


@pytest.fixture(scope="module")
def letters(page: Page) -> str:
    """A run of maria's that is done."""
    return PageRun(
        page.web.client.stores, "ocr", LETTERS, {"torn.jpg": "truncated"}, {"words": True}, Belongs("maria")
    ).end().id  # fmt: skip


def test_texts_are_listed_by_name_and_the_first_is_shown(maria: Visitor, letters: str) -> None:
    shown = whole(maria, letters)
    assert shown["kind"] == "text"
    assert shown["is_whole"]
    found = shown["found"]
    assert [row["item"] for row in found["rows"]] == sorted(LETTERS)
    assert (found["items"], found["found"], found["at"]) == (3, 3, 0)
    assert found["one"]["item"] == "bills/rent#1.png"
    assert "".join(piece["text"] for piece in found["one"]["pieces"]) == "Rent for May"


def test_a_search_finds_all_words_and_marks_them(maria: Visitor, letters: str) -> None:
    found = whole(maria, letters, q="TELESCOPE")["found"]
    assert (found["found"], found["items"]) == (2, 3)
    assert {row["item"] for row in found["rows"]} == {"letters/thank-you.jpg", "letters/reply.jpg"}
    for row in found["rows"]:
        assert [piece["text"] for piece in row["pieces"] if piece["hit"]] in (["telescope"], ["télescope"])
    html = maria.html(f"/runs/{letters}/results?q=telescope&item=letters/thank-you.jpg")
    assert "<mark>telescope</mark>" in html


def text_of(one: Any) -> str:
    return "".join(piece["text"] for piece in one["pieces"])


def test_the_words_that_were_looked_for_are_marked_on_the_picture(maria: Visitor, letters: str) -> None:
    one = maria.get(f"/runs/{letters}/text.json", params={"item": "letters/thank-you.jpg", "q": "tele*"})
    [hit] = [box for box in one["boxes"] if box["hit"]]
    assert hit["text"] == "telescope!"
    assert one["page"] == [1000, 1400]
    assert maria.html(f"/runs/{letters}/text?item=letters/thank-you.jpg&q=uncle").count("<mark>") == 1


def test_words_that_were_read_with_little_confidence_are_shown_so(page: Page, maria: Visitor) -> None:
    doubtful = record("sure perhaps sure", words=True)
    doubtful["lines"][0][4][1][5] = 20
    run = PageRun(page.web.client.stores, "ocr", {"a.png": doubtful}, belongs=Belongs("maria")).end()
    one = whole(maria, run.id)["found"]["one"]
    assert [piece["text"] for piece in one["pieces"] if piece["unsure"]] == ["perhaps"]
    assert '<span class="unsure">perhaps</span>' in maria.html(f"/runs/{run.id}/results")


def test_many_texts_come_by_pages_and_one_is_found_at_its_place(page: Page, maria: Visitor) -> None:
    texts = {f"scan-{number:04}.png": record(f"text number {number}") for number in range(450)}
    run = PageRun(page.web.client.stores, "ocr", texts, belongs=Belongs("maria")).end()
    path = f"/runs/{run.id}/results.json"
    found = whole(maria, run.id, after=400)["found"]
    assert (found["items"], found["after"], len(found["rows"]), found["one"]) == (450, 400, 50, None)
    assert found["rows"][0]["item"] == "scan-0400.png"
    assert maria.get(path, params={"item": "scan-0321.png"})["found"]["at"] == 321
    hits = [maria.get(path, params={"q": "number", "after": after})["found"] for after in (0, 200, 400)]
    assert [len(hit["rows"]) for hit in hits] == [200, 200, 50]
    assert len({row["item"] for hit in hits for row in hit["rows"]}) == 450
    assert len(maria.html(f"/runs/{run.id}/results")) < 100_000


@pytest.mark.parametrize(
    "q", ['"', "NOT", "a AND", "*", "col:x", "telescope OR (", "'; DROP TABLE pages; --", "\0", "?"]
)
def test_no_query_is_a_mistake(maria: Visitor, letters: str, q: str) -> None:
    assert whole(maria, letters, q=q)["found"]["found"] in (0, 3)
    maria.html(f"/runs/{letters}/results?{urlencode({'q': q})}")


@pytest.mark.parametrize("query", [{"after": "-1"}, {"most": "501"}, {"q": "a" * 501}, {"after": "x"}])
def test_a_query_out_of_bounds_is_told(maria: Visitor, letters: str, query: dict[str, str]) -> None:
    answer = maria.ask("GET", f"/runs/{letters}/results.json", params=query)
    assert answer.status_code == 422
    assert next(iter(query)) in answer.json()["detail"]


def test_names_and_texts_of_strangers_are_shown_as_they_are(page: Page, maria: Visitor) -> None:
    bad = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}\u202e'
    run = PageRun(page.web.client.stores, "ocr", {f"{bad}.png": record(bad)}, belongs=Belongs("maria")).end()
    whole(maria, run.id)
    for path in ("results", f"results?{urlencode({'q': 'script'})}", f"text?{urlencode({'item': f'{bad}.png'})}"):
        html = maria.html(f"/runs/{run.id}/{path}")
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "{{7*7}}" in html
        assert "\\u202e" in html


def test_a_correction_stands_beside_what_was_read_and_is_found(page: Page, maria: Visitor) -> None:
    read = {"a.png": record("the te1escope", digest="a" * 16), "b.png": record("a letter", digest="b" * 16)}
    run = PageRun(page.web.client.stores, "ocr", read, belongs=Belongs("maria")).end()
    path = f"/api/runs/{run.id}/correction"
    told = maria.ask("PUT", path, json={"item": "a.png", "text": "the telescope"}).json()
    assert (text_of(told), told["as_read"]) == ("the telescope", "the te1escope")
    assert "corrected" in told["about"]
    assert maria.get(f"/runs/{run.id}/results.json", params={"q": "telescope"})["found"]["found"] == 1
    other = PageRun(page.web.client.stores, "ocr", read, belongs=Belongs("maria")).end()
    assert text_of(maria.get(f"/runs/{other.id}/text.json", params={"item": "a.png"})) == "the telescope"
    page.web.results.forget(run.id)
    assert text_of(maria.get(f"/runs/{run.id}/text.json", params={"item": "a.png"})) == "the telescope"
    told = maria.ask("PUT", path, json={"item": "a.png", "text": None}).json()
    assert (text_of(told), told["as_read"]) == ("the te1escope", None)
    assert maria.get(f"/runs/{run.id}/results.json", params={"q": "telescope"})["found"]["found"] == 0


def test_a_correction_of_one_owner_is_none_of_anothers(page: Page, maria: Visitor) -> None:
    jan = page.visitor(Role.SUBMITTER, "jan")
    read = {"a.png": record("same bytes", digest="c" * 16)}
    hers, his = (
        PageRun(page.web.client.stores, "ocr", read, belongs=Belongs(owner)).end().id for owner in ("maria", "jan")
    )
    maria.ask("PUT", f"/api/runs/{hers}/correction", json={"item": "a.png", "text": "hers"})
    assert text_of(jan.get(f"/runs/{his}/text.json", params={"item": "a.png"})) == "same bytes"
    assert jan.ask("PUT", f"/api/runs/{hers}/correction", json={"item": "a.png", "text": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [({"item": "none.png", "text": "x"}, 404), ({"item": "a.png", "text": "\0"}, 422), ({"text": "x"}, 422)],
)
def test_a_correction_that_cannot_be_is_told(maria: Visitor, letters: str, body: Any, status: int) -> None:
    assert maria.ask("PUT", f"/api/runs/{letters}/correction", json=body).status_code == status


def test_texts_of_a_run_that_goes_on_are_shown_as_they_come(page: Page, maria: Visitor) -> None:
    texts = {f"scan-{number:04}.png": record(f"text number {number}") for number in range(250)}
    run = PageRun(page.web.client.stores, "ocr", texts, belongs=Belongs("maria"))
    path = f"/runs/{run.id}/results.json"
    assert maria.get(path)["found"] is None
    assert "No results yet" in maria.html(f"/runs/{run.id}/results")
    run.do(1)

    def some() -> bool:
        found = maria.get(path)["found"]
        return found is not None and found["items"] == 100

    wait_until("the first texts are shown", some, 10)
    assert not maria.get(path)["is_whole"]
    assert (
        maria.ask("PUT", f"/api/runs/{run.id}/correction", json={"item": "scan-0100.png", "text": ""}).status_code
        == 409
    )
    run.end()
    wait_until("all are", lambda: maria.get(path)["is_whole"], 10)
    assert maria.get(path)["found"]["items"] == 250


def test_a_run_without_a_result_says_why(page: Page, maria: Visitor) -> None:
    run = PageRun(page.web.client.stores, "ocr", {"a.png": record("x")}, belongs=Belongs("maria"))
    maria.ask("POST", f"/api/runs/{run.id}/cancel")
    told = maria.get(f"/runs/{run.id}/results.json")
    assert (told["found"], told["formats"]) == (None, [])
    assert told["problem"] == "The run was cancelled, so it has no result (by maria)"
    assert "so it has no result" in maria.html(f"/runs/{run.id}/results")


def test_a_file_that_was_damaged_is_made_anew(page: Page, maria: Visitor) -> None:
    run = PageRun(page.web.client.stores, "ocr", {"a.png": record("once more")}, belongs=Belongs("maria")).end()
    file = page.web.results.file(run.id)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"SQLite format 3\0 and then nothing of it")
    assert whole(maria, run.id)["found"]["items"] == 1


def test_a_run_in_which_all_failed_has_no_text(page: Page, maria: Visitor) -> None:
    run = PageRun(page.web.client.stores, "ocr", {}, {"torn.jpg": "truncated"}, belongs=Belongs("maria")).end()
    shown = whole(maria, run.id)
    assert (shown["is_whole"], shown["found"]["items"]) == (True, 0)
    assert "No texts" in maria.html(f"/runs/{run.id}/results")


def test_texts_are_read_as_soon_as_a_run_is_done_that_somebody_watches(page: Page) -> None:
    run = PageRun(page.web.client.stores, "ocr", {"a.png": record("x")}, belongs=Belongs("maria"))
    watched = Watched(page.web.client.run(run.id), page.web)
    watched.first("")
    watched.look()
    run.end()
    watched.look()
    wait_until("its texts are read", lambda: page.web.results.whole(run.id), 20)


def test_a_file_that_is_damaged_later_is_made_anew(page: Page, maria: Visitor) -> None:
    texts = {f"{number}.png": record(f"word{number} " * 200) for number in range(50)}
    run = PageRun(page.web.client.stores, "ocr", texts, belongs=Belongs("maria")).end()
    whole(maria, run.id)
    file = page.web.results.file(run.id)
    data = file.read_bytes()
    file.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))
    maria.get(f"/runs/{run.id}/results.json", params={"q": "word7"})
    assert whole(maria, run.id, q="word7")["found"]["found"] == 1


def test_what_is_missing_is_told_beside_what_is_there(maria: Visitor, letters: str) -> None:
    assert f'<a href="/runs/{letters}#missing">1 missing</a>' in maria.html(f"/runs/{letters}/results")
