"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import pytest
import redis
from celery import Celery

from cluster import celery_app, settings
from cluster.stores import Stores
from tests.kit.programs import JOBS, RedisServer, admin

# What starts the tests in the background may have them ignore these, and so the programs that they start.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# This machine may be busy with other things: how long an example takes says nothing.
busy = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("quick", busy, max_examples=40)
hypothesis.settings.register_profile("thorough", busy, max_examples=1000)  # HYPOTHESIS_PROFILE=thorough
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# The catalog is read once in a process: the test jobs must be on the path before.
sys.path.insert(0, str(JOBS))


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CLUSTER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLUSTER_CONFIG", os.devnull)


@pytest.fixture
def deep_path(tmp_path: Path) -> Iterator[Path]:
    """A folder for a test that makes more folders within folders than pytest can remove, whose removal recurses."""
    deep = tmp_path / "deep"
    deep.mkdir()
    yield deep
    subprocess.run(["rm", "-rf", deep], check=True)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis for all tests that leave it as usable as they found it."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


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


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """For tests: the cluster's own user may not look at everything."""
    return admin(redis_url)


@pytest.fixture
def stores(redis_url: str) -> Stores:
    return Stores.connect(settings.load(broker_url=redis_url))
