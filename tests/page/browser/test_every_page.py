"""Each page of the route table: nothing that keeps somebody from using it, and nothing that a name can do to it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from cluster.roles import Role
from tests.kit import addresses, browser, keyboard, stages
from tests.kit.addresses import Places
from tests.kit.browser import DESK, Tab
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
        assert walker.page.locator(FROM_NAMES).count() == 0, address
        assert walker.axe_in() == [], address
        walker.look(DESK)
        assert keyboard.problems(walker) == [], address


def test_nothing_keeps_people_from_entering(enter: Enter) -> None:
    tab = enter()
    tab.open("/enter")
    assert tab.axe_in() == []


@pytest.fixture(scope="module")
def examined(stage: stages.Stage, places: Places) -> set[str]:
    """What the pages are made of that axe-core has seen: to begin with, those of an admin above."""
    admin = stage.page.visitor(Role.ADMIN)
    return {made_of(admin.html(address)) for address in addresses.each(places)}


def made_of(page: str) -> str:
    """The elements of a page below its navigation, without their texts and curves."""
    return re.sub(r'(?<=>)[^<]+| d="[^"]*"', "", page.partition("<main")[2])


def examine(tab: Tab, paths: Iterable[str], examined: set[str]) -> list[str]:
    """Open all pages that somebody may see; axe-core sees those that are made of something else than any before."""
    others = []
    for path in paths:
        answer = tab.context.request.get(path, headers={"Accept": "text/html"})
        assert answer.status in (200, 403, 404), path
        if answer.status != 200:
            continue
        assert tab.open(path).status == 200, path
        if (found := made_of(answer.text())) not in examined:
            assert tab.axe() == [], path
            examined.add(found)
            others.append(path)
    return others


def test_an_empty_cluster_says_so_on_each_page(chromium: Browser, nothing: Page, examined: set[str]) -> None:
    with browser.tab(chromium, nothing.visitor(Role.ADMIN)) as tab:
        others = examine(tab, [path for path in addresses.VIEWS if "{" not in path], examined)
        assert {"/runs", "/nodes", "/models", "/people"} <= set(others)
        assert tab.problems == []


def test_pages_with_fewer_buttons_can_be_used(enter: Enter, places: Places, examined: set[str]) -> None:
    by_viewer, _ = (examine(enter(role), addresses.each(places), examined) for role in (Role.VIEWER, Role.SUBMITTER))
    assert "/account" in by_viewer


def test_names_of_strangers_are_shown_as_they_are(enter: Enter, read_run: str) -> None:
    tab = enter()
    tab.open(f"/runs/{read_run}")
    for name in stages.HOSTILE:
        tab.wait_for(name.replace("\u202e", "\\u202e"))
    assert tab.page.get_by_text("49.png").count() == 0
