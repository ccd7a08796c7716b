"""The part of a gateway that Python uses, too: what no replica would read is refused at once; odd connections."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("hiredis", reason="a gateway needs cluster[serve]")

from cluster import errors
from cluster.client import asking
from cluster.gateway import hub as hub_module
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


def test_a_connection_that_fails_in_an_odd_way_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "RECONNECT_S", (0.0,))
    hub = Hub("redis://127.0.0.1:1")
    tried: list[int] = []

    async def connect() -> None:
        tried.append(1)
        if len(tried) < 3:
            raise AttributeError("'NoneType' object has no attribute 'transport'")
        hub._taking = cast(Any, object())

    async def stay() -> None:
        task = asyncio.create_task(hub._stay_connected())
        async with asyncio.timeout(10):
            while not hub.is_connected:
                assert not task.done()
                await asyncio.sleep(0)
        task.cancel()

    monkeypatch.setattr(hub, "_connect", connect)
    asyncio.run(stay())
    assert len(tried) == 3
