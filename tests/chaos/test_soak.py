"""Two hundred runs leave Redis where they found it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.soak import soak


@pytest.mark.timeout(600)
def test_two_hundred_runs_leave_redis_where_it_began(tmp_path: Path) -> None:
    soak(tmp_path, 200)
