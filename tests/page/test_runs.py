"""Whose runs one sees and changes on the page."""

from __future__ import annotations

import secrets

import pytest

from cluster.client.run import Belongs
from cluster.roles import Role
from tests.kit.pages import Page, Visitor


def opened(page: Page, belongs: Belongs | None = None, job: str = "ocr") -> str:
    """A run that nobody works on."""
    run = f"{job}-{secrets.token_hex(4)}"
    page.web.client.stores.ledger.runs.create(run, job, "2", {}, "hub:1", belongs=belongs)
    return run


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


@pytest.fixture(scope="module")
def jan(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "jan")


def test_a_private_run_is_its_owners_and_the_operators(
    page: Page, maria: Visitor, jan: Visitor, visitors: dict[Role, Visitor]
) -> None:
    run = opened(page, Belongs("maria"))
    for visitor in (maria, visitors[Role.OPERATOR]):
        assert visitor.get(f"/runs/{run}.json")["status"]["owner"] == "maria"
    hidden, unknown = (jan.ask("GET", f"/runs/{name}.json") for name in (run, "ocr-00000000"))
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json()["detail"] == unknown.json()["detail"].replace("ocr-00000000", run)
    assert jan.ask("GET", f"/api/runs/{run}/live").status_code == 404
    assert jan.ask("POST", f"/api/runs/{run}/cancel").status_code == 404


def test_a_shared_run_is_seen_and_not_changed_by_others(page: Page, maria: Visitor, jan: Visitor) -> None:
    run = opened(page, Belongs("maria", "cluster"))
    assert jan.get(f"/runs/{run}.json")["status"]["share"] == "cluster"
    refused = jan.ask("POST", f"/api/runs/{run}/cancel")
    assert refused.status_code == 403
    assert "is maria's" in refused.json()["detail"]
    assert maria.ask("POST", f"/api/runs/{run}/cancel").status_code == 204
    assert maria.get(f"/runs/{run}.json")["status"]["error"] == "cancelled by maria"


def test_a_run_of_the_command_line_is_seen_by_all_and_changed_by_operators(
    page: Page, jan: Visitor, visitors: dict[Role, Visitor]
) -> None:
    run = opened(page)
    assert visitors[Role.VIEWER].get(f"/runs/{run}.json")["status"]["owner"] == ""
    assert jan.ask("POST", f"/api/runs/{run}/cancel").status_code == 403
    assert visitors[Role.OPERATOR].ask("POST", f"/api/runs/{run}/cancel").status_code == 204


@pytest.mark.parametrize("name", ["ocr-1:events", "*", "a" * 5000])
def test_what_is_no_name_of_a_run_is_not_found(name: str, maria: Visitor) -> None:
    answer = maria.ask("GET", f"/runs/{name}.json")
    assert answer.status_code == 404
    assert len(answer.text) < 1000
