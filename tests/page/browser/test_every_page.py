"""Each page of the route table: nothing that keeps somebody from using it, and nothing that a name can do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.roles import Role
from tests.kit import addresses, browser, stages
from tests.kit.addresses import Places
from tests.kit.browser import Tab
from tests.kit.pages import Page
from tests.page.browser.conftest import Enter

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FROM_NAMES = "img[src=x], [onerror], [onload], svg[onload]"
"""What the names of ``stages.HOSTILE`` would become a part of a page as."""


@pytest.mark.parametrize("path", addresses.VIEWS)
def test_nothing_keeps_people_from_using_a_page(walker: Tab, places: Places, path: str) -> None:
    for address in addresses.filled(path, places):
        assert walker.open(address).status == 200, address
        assert walker.axe_in() == [], address
        assert walker.page.locator(FROM_NAMES).count() == 0, address


def test_nothing_keeps_people_from_entering(enter: Enter) -> None:
    tab = enter()
    tab.open("/enter")
    assert tab.axe_in() == []


def test_an_empty_cluster_says_so_on_each_page(chromium: Browser, nothing: Page) -> None:
    with browser.tab(chromium, nothing.visitor(Role.ADMIN)) as tab:
        for address in (path for path in addresses.VIEWS if "{" not in path):
            assert tab.open(address).status == 200, address
            assert tab.axe() == [], address
        assert tab.problems == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER], ids=["viewer", "submitter"])
def test_pages_with_fewer_buttons_can_be_used(enter: Enter, places: Places, role: Role) -> None:
    tab = enter(role)
    for address in addresses.each(places):
        with tab.allowing("403", "404"):
            if tab.open(address).status == 200:
                assert tab.axe() == [], address


def test_names_of_strangers_are_shown_as_they_are(enter: Enter, read_run: str) -> None:
    tab = enter()
    tab.open(f"/runs/{read_run}")
    for name in stages.HOSTILE:
        tab.wait_for(name.replace("\u202e", "\\u202e"))
    assert tab.page.get_by_text("49.png").count() == 0
