"""A browser, and a cluster with one node and something to look at, both for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster import settings
from cluster.client import Client
from cluster.roles import Role
from tests.kit import browser, pages, stages
from tests.kit.addresses import Places
from tests.kit.browser import DESK, Tab
from tests.kit.programs import RedisServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Enter = Callable[..., Tab]
TIMEOUT_S = 300
"""Of a test: the first one has all set up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S), append=False)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with browser.opened() as found:
        yield found


@pytest.fixture(scope="session")
def stage(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Stage]:
    """A cluster of one node, ``office-1<img …>``, with two slots.

    Tests that end or pause a node start one of their own.
    """
    with stages.staged(tmp_path_factory.mktemp("stage"), f"office-1{stages.SCRIPT}") as found:
        yield found


@pytest.fixture(scope="session")
def nothing(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pages.Page]:
    """The page of a cluster without nodes, on which nothing was done."""
    folder = tmp_path_factory.mktemp("nothing")
    with (
        RedisServer(folder / "redis") as redis,
        Client(settings.Settings(broker_url=redis.url)) as client,
        pages.shown(client, folder / "web") as page,
    ):
        yield page


@pytest.fixture(scope="session")
def read_run(stage: stages.Stage) -> str:
    """The run of ``ocr`` over the example pictures and the damaged ones of ``stages.HOSTILE``."""
    return stages.read_hostile(stage)


@pytest.fixture(scope="session")
def places(stage: stages.Stage, read_run: str) -> Places:
    """One run of each kind, with names that somebody chose to break the page by, and a model."""
    return stages.played(stage, read_run)


@pytest.fixture(scope="module")
def kept_tab(chromium: Browser, stage: stages.Stage) -> Iterator[Tab]:
    with browser.tab(chromium, stage.page.visitor(Role.ADMIN)) as tab:
        yield tab


@pytest.fixture
def walker(kept_tab: Tab) -> Iterator[Tab]:
    """An admin's tab that walks from page to page, one for all tests of a file: to open one takes as long as a page."""
    kept_tab.look(DESK)
    yield kept_tab
    problems, kept_tab.problems = kept_tab.problems, []
    assert problems == []


@pytest.fixture
def enter(chromium: Browser, stage: stages.Stage) -> Iterator[Enter]:
    """Opens a tab of a user with that role; in the end nothing must have happened in it that never must."""
    tabs: list[Tab] = []
    with ExitStack() as opened:

        def enter(role: Role = Role.ADMIN, name: str = "", look: browser.Look = DESK, *, scripts: bool = True) -> Tab:
            visitor = stage.page.visitor(role, name)
            tabs.append(opened.enter_context(browser.tab(chromium, visitor, look, scripts=scripts)))
            return tabs[-1]

        yield enter
    assert [problem for tab in tabs for problem in tab.problems] == []


@pytest.fixture
def tab(enter: Enter) -> Tab:
    """An admin's tab, in a wide window."""
    return enter()
