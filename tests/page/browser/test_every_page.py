"""Each page of the route table: nothing that keeps somebody from using it, and nothing that a name can do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.roles import Role
from tests.kit import addresses, browser, stages
from tests.kit.addresses import Places
from tests.kit.pages import Page
from tests.page.browser.conftest import Enter

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("path", addresses.VIEWS)
def test_nothing_keeps_people_from_using_a_page(enter: Enter, places: Places, path: str) -> None:
    tab = enter()
    for address in addresses.filled(path, places):
        assert tab.open(address).status == 200, address
        assert tab.axe_in() == [], address


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


def test_no_name_becomes_a_part_of_a_page(enter: Enter, places: Places) -> None:
    tab = enter()
    for address in addresses.each(places):
        tab.open(address)
        assert tab.page.locator("img[src=x], [onerror], [onload], svg[onload]").count() == 0, address
