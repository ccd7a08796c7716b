"""Results on the page: the texts of a run, found and shown."""

from __future__ import annotations

import pytest

from cluster.client.run import Belongs
from cluster.roles import Role
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page, Visitor
from tests.kit.records import record

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
    shown = maria.get(f"/runs/{letters}/results.json")
    assert shown["kind"] == "text"
    assert shown["is_whole"]
    found = shown["found"]
    assert [row["item"] for row in found["rows"]] == sorted(LETTERS)
    assert (found["items"], found["found"], found["at"]) == (3, 3, 0)
    assert found["one"]["item"] == "bills/rent#1.png"
    assert "".join(piece["text"] for piece in found["one"]["pieces"]) == "Rent for May"


def test_a_search_finds_all_words_and_marks_them(maria: Visitor, letters: str) -> None:
    found = maria.get(f"/runs/{letters}/results.json", params={"q": "TELESCOPE"})["found"]
    assert (found["found"], found["items"]) == (2, 3)
    assert {row["item"] for row in found["rows"]} == {"letters/thank-you.jpg", "letters/reply.jpg"}
    for row in found["rows"]:
        assert [piece["text"] for piece in row["pieces"] if piece["hit"]] in (["telescope"], ["télescope"])
    html = maria.html(f"/runs/{letters}/results?q=telescope&item=letters/thank-you.jpg")
    assert "<mark>telescope</mark>" in html
