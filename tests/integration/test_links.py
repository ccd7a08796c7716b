"""What is measured of a link against the speed that the link has."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import pytest

from cluster import blobs, redis_client
from cluster.blobs.measured import Measured, Meter
from cluster.blobs.redis import RedisBlobs
from tests.kit.proxy import Proxy

SPEED_BYTES_S = 10e6 / 8


def test_the_measured_speed_is_that_of_the_link(broker: str) -> None:
    there = urlsplit(broker)
    data = os.urandom(int(0.4 * SPEED_BYTES_S))
    with Proxy(str(there.hostname), int(there.port or 0), bytes_per_s=SPEED_BYTES_S) as link:
        url = broker.replace(f":{there.port}", f":{link.port}")
        meter = Meter()
        store = Measured(RedisBlobs(redis_client.connect(url, patient=False)), meter)
        [ref] = store.put("runs/test-1/in/0", [data])
        assert blobs.get_one(store, "runs/test-1/in/0", ref) == data
    assert meter.up_bytes_s == pytest.approx(SPEED_BYTES_S, rel=0.25)
    assert meter.down_bytes_s == pytest.approx(SPEED_BYTES_S, rel=0.25)
