"""When a chunk is slow enough to begin it elsewhere as well."""

from __future__ import annotations

import pytest

from cluster.coordinator.stragglers import is_slow
from cluster.ledger.records import Running, Worker


def doing(seconds: float) -> Running:
    return Running(0, Worker("worker@slow", "incarnation"), seconds)


@pytest.mark.parametrize(
    ("seconds", "pace_s", "elsewhere_s", "slow"),
    [
        (0.1, 10.0, 1.0, True),  # it will take ten times as long, so at once
        (9.5, 10.0, 1.0, False),  # it is nearly there
        (11.5, 10.0, 1.0, True),  # it should have been there by now
        (1.9, None, 1.0, False),
        (2.1, None, 1.0, True),
        (0.9, None, 0.01, False),  # not worth a message
        (1.5, 1.5, 1.0, False),
        (0.0, 0.5, 0.4, False),
    ],
)
def test_a_chunk_is_slow(seconds: float, pace_s: float | None, elsewhere_s: float, slow: bool) -> None:
    assert is_slow(doing(seconds), pace_s, elsewhere_s) is slow
