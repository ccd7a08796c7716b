"""The search over all runs that one may see."""

from __future__ import annotations

import secrets

import pytest

from cluster.client.run import Belongs
from cluster.roles import Role
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page, Visitor
from tests.kit.records import record
from tests.kit.waiting import wait_until


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


def found(visitor: Visitor, q: str) -> dict[str, int]:
    """Run -> how many of its texts were found, once all are searched."""
    wait_until("all runs are searched", lambda: not visitor.get("/search.json", params={"q": q})["waiting"], 20)
    return {hits["run"]: hits["found"] for hits in visitor.get("/search.json", params={"q": q})["runs"]}


def test_texts_of_ones_own_and_shared_runs_are_found_and_no_others(page: Page, maria: Visitor) -> None:
    word = f"w{secrets.token_hex(4)}"
    texts = {f"{number}.png": record(f"here is {word}") for number in range(7)}
    whose = {"mine": Belongs("maria"), "shared": Belongs("jan", "cluster"), "secret": Belongs("jan"), "cli": None}
    runs = {
        name: PageRun(page.web.client.stores, "ocr", texts, belongs=belongs).end().id for name, belongs in whose.items()
    }
    assert found(maria, word) == dict.fromkeys([runs["mine"], runs["shared"], runs["cli"]], 7)
    assert found(page.visitor(Role.OPERATOR, "olga"), word).keys() == set(runs.values())
    html = maria.html(f"/search?q={word}")
    assert f"<mark>{word}</mark>" in html
    assert html.count("<li>") == 3 * 5
    assert f"/runs/{runs['mine']}/results?q={word}&amp;item=0.png" in html
    assert runs["secret"] not in html


def test_nothing_is_looked_for_and_nothing_found_in_words(maria: Visitor) -> None:
    assert "All texts that were read are searched" in maria.html("/search")
    assert maria.get("/search.json", params={"q": '"'})["runs"] == []
    assert "0 texts in 0 of" in maria.html("/search?q=nosuchword")
    assert maria.ask("GET", "/search.json", params={"q": "a" * 501}).status_code == 422
