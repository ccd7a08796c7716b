"""What people said of faces is for those who may see the run alone."""

from __future__ import annotations

import pytest

from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import face_rows
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page, Visitor

pytest.importorskip("numpy")
FACE = {"box": [1, 1, 50, 50], "score": 0.8, "label": "unknown", "confidence": 0.9}


def faces_of(page: Page, owner: str) -> str:
    """A run of somebody, who has named the face that it found."""
    run = PageRun(page.web.client.stores, "faces", {"a.jpg": [FACE]}, belongs=Belongs(owner)).end()
    found = face_rows.of_run(page.web, page.web.client.run(run.id)).all
    page.web.decisions.decide("office", found, "name", "Otto", owner)
    return run.id


def said(visitor: Visitor) -> list[str]:
    return [one["by"] for one in visitor.get("/people/office.json")["said"]]


def take_back(visitor: Visitor) -> None:
    body = {"kind": "name", "person": "Otto"}
    assert visitor.ask("POST", "/api/people/office/take-back", json=body).status_code == 204


def test_decisions_of_a_private_run_are_neither_shown_nor_trained(page: Page) -> None:
    maria, kim = page.visitor(Role.SUBMITTER, "maria"), page.visitor(Role.SUBMITTER, "kim")
    jan = page.visitor(Role.OPERATOR, "jan")
    run = faces_of(page, "maria")
    assert (said(maria), said(jan), said(kim)) == (["maria"], ["maria"], [])
    answer = kim.ask("POST", "/api/people/office/train")
    assert (answer.status_code, "nobody was named" in answer.json()["detail"]) == (409, True)
    page.web.client.run(run).share("cluster")
    assert said(kim) == ["maria"]
    take_back(kim)
    assert said(kim) == ["maria"]
    take_back(jan)
    assert said(maria) == []
