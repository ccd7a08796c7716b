"""Tests in this folder need the extra ``page``, which `make test-page` installs, and a browser where it may."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster import settings
from cluster.client import Client
from cluster.roles import Role
from tests.kit.pages import Page, Visitor, shown


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
