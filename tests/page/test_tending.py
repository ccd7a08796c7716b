"""How the page looks after its uploads: what it drops, what it goes on after, when it gives a run up."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.web.spool import Spool
from cluster.web.tending import IDLE_S, Tending
from splitters.spool import ORDER


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def tending(spool: Spool, **client: Any) -> Tending:
    return Tending(SimpleNamespace(spool=spool, client=SimpleNamespace(**client)))  # type: ignore[arg-type]


def test_an_upload_that_cannot_be_read_is_dropped_in_time(spool: Spool) -> None:
    order = spool.begin("maria").folder / ORDER
    order.write_bytes(order.read_bytes() + b"half a li{}\n")
    again = Spool(spool.folder)
    tending(again).look()
    assert [(one.user, one.is_readable) for one in again.listed("maria")] == [("maria", False)]
    old = time.time() - IDLE_S - 1
    os.utime(order, (old, old))
    tending(again).look()
    assert list(spool.folder.iterdir()) == []
