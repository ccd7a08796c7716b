"""Fixtures for tests with real programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.programs import RedisServer


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis for the tests of one file."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url
