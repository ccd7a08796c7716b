"""The first minutes: the one-time link, and a cluster on which nothing has been done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.roles import Role
from tests.kit.browser import Tab
from tests.kit.pages import Page

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_a_link_opens_the_page_once(chromium: Browser, nothing: Page) -> None:
    nothing.web.accounts.add("first", Role.ADMIN)
    link = f"/enter#{nothing.web.accounts.link('first')}"
    with Tab(chromium, nothing.url) as tab:
        tab.open(link)
        tab.page.wait_for_url("**/runs")
        tab.wait_for("No runs yet")
        assert tab.problems == []
    with Tab(chromium, nothing.url) as tab, tab.allowing("401"):
        tab.open(link)
        tab.wait_for("was used already")
        assert "#" not in tab.page.url
        assert tab.problems == []


def test_leaving_leads_to_the_door(chromium: Browser, nothing: Page) -> None:
    nothing.web.accounts.add("leaves", Role.VIEWER)
    with Tab(chromium, nothing.url) as tab, tab.allowing("401"):
        tab.open(f"/enter#{nothing.web.accounts.link('leaves')}")
        tab.page.wait_for_url("**/runs")
        tab.page.get_by_role("link", name="leaves").click()
        tab.page.get_by_role("button", name="Log out", exact=True).click()
        tab.page.wait_for_url("**/enter")
        tab.open("/runs")
        tab.wait_for("log in first")
