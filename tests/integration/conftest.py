"""Fixtures for tests with real programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from celery import Celery

from cluster import celery_app, settings
from tests.kit.programs import RedisServer


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis for the tests of one file."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    """The Celery app of a process that is no worker."""
    with closing(celery_app.build(settings.load(broker_url=redis_url))) as app:
        yield app
