"""Tests in this folder need PyTorch: `make test-train` installs it."""

from __future__ import annotations

import os

import pytest

from tasks import train


@pytest.fixture(scope="session", autouse=True)
def torch_is_there() -> None:
    """Without PyTorch each test here is skipped on a laptop and fails on CI, before any other fixture."""
    if problem := train.why_unavailable():
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
