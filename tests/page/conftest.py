"""Tests in this folder need the extra ``page``, which `make test-page` installs, and a browser where it may."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from cluster import settings
from cluster.client import Client, submission
from cluster.roles import Role
from tests.kit.pages import Page, Visitor, begin_reader, shown
from tests.kit.waiting import wait_until

MARK = "TESTS_OF_THE_PAGE"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope` one half of the tests in a browser goes to one process: each has a stage to set up."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Halves(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if "/browser/" not in file:
                return file
            return "stories" if "/test_stories" in file or "/test_first" in file else "pages"

    return Halves(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """In the end no process lives that a test has started, but the one that forks into them."""
    mark = os.environ[MARK] = secrets.token_hex(8)

    def left() -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if _is_marked(process, mark)]

    yield
    try:
        wait_until("all that the tests have started ends", lambda: not left(), timeout_s=15)
    except AssertionError as error:
        told = []
        for process in left():
            with suppress(psutil.Error):
                told.append(" ".join(process.cmdline()))
                process.kill()
        raise AssertionError(f"{error}: {told}") from None


@pytest.fixture(scope="package", autouse=True)
def readers_by_fork() -> Iterator[None]:
    """What reads an upload is started by a fork."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submission, "spawn", begin_reader)
        yield


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        is_forking = process.ppid() == os.getpid() and "tests.kit.forking" in process.cmdline()
        is_over = process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE
        return not (is_forking or is_over) and process.environ().get(MARK) == mark
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def page(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a cluster without nodes, of one's own for each file."""
    with Client(settings.Settings(broker_url=broker)) as client, shown(client, tmp_path_factory.mktemp("web")) as page:
        yield page


@pytest.fixture(scope="module")
def visitors(page: Page) -> dict[Role, Visitor]:
    """Somebody of each role, who has entered."""
    return {role: page.visitor(role) for role in Role}


@pytest.fixture(scope="module")
def admin(visitors: dict[Role, Visitor]) -> Visitor:
    return visitors[Role.ADMIN]
