"""What a program asks from Python is refused at once where no replica would read it."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("hiredis", reason="a gateway needs cluster[serve]")

from cluster import errors
from cluster.client import asking
from cluster.gateway.hub import Hub
from cluster.gateway.problems import Problem
from cluster.names import Target
from cluster.services import messages


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({}, "there is none"),
        ({"x": np.zeros((0, 3))}, "0 is no size"),
        ({"x": np.zeros((2, 0))}, "0 is no size"),
        ({"x": np.float32(1)}, "1 to 8 dimensions"),
        ({"x": np.array(["a"])}, "no kind of number"),
        ({"x": np.zeros((2, 1)), "y": np.zeros((3, 1))}, "different numbers of rows"),
    ],
)
def test_arrays_that_no_replica_reads_are_named(arrays: dict[str, Any], why: str) -> None:
    with pytest.raises(errors.UsageError, match=why):
        asking._packed(arrays)


def test_a_payload_that_no_replica_takes_is_refused() -> None:
    hub = Hub("redis://127.0.0.1:1")
    hub._taking = cast(Any, object())
    with pytest.raises(Problem) as caught:
        hub.post(hub.line(Target("net")), "item", "a.jpg", bytes(messages.MAX_PAYLOAD_BYTES + 1), timeout_s=1)
    assert (caught.value.status, caught.value.message[:5]) == (413, "a.jpg")
