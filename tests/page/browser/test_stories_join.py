"""The story of a machine that is to join: an admin shows the password, and makes an invitation that works once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.client import joining
from cluster.client.joining import Joining
from cluster.web import join
from tests.kit import browser, stages
from tests.kit.browser import PHONE
from tests.page.browser.conftest import Enter

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OPEN = "CLUSTER_BROKER_URL='redis://:the-password@192.0.2.7/0' cluster worker"


def told(config: object, *, with_password: bool = False) -> Joining:
    """As of a cluster that other machines reach."""
    line = OPEN if with_password else OPEN.replace("the-password", "***")
    return Joining(line=line, has_password=with_password, problem="")


def test_a_machine_is_invited_by_an_address_that_works_once(
    enter: Enter, chromium: Browser, stage: stages.Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "joining", told)
    monkeypatch.setattr(join, "is_loopback", lambda host: False)
    tab = enter()
    tab.open("/nodes/join")
    tab.wait_for("***")
    tab.page.get_by_role("button", name="Show the password").click()
    tab.wait_for(OPEN)
    tab.page.get_by_role("button", name="Copy", exact=True).click()
    tab.wait_for("Copied")
    tab.page.get_by_role("button", name="QR code for one machine").click()
    tab.page.get_by_role("img", name="QR code of the address below").wait_for()
    assert tab.axe() == []
    address = tab.page.locator("[data-show=address]").inner_text()
    with browser.Tab(chromium, stage.page.url, PHONE) as guest:
        guest.open(address)
        guest.wait_for(OPEN)
        assert guest.page.url == f"{stage.page.url}/join", "the secret stands in no history"
        assert guest.axe_in([PHONE]) == []
        assert guest.problems == []
    with browser.Tab(chromium, stage.page.url) as late, late.allowing("410"):
        late.open(address)
        late.wait_for("this invitation was used already")
