"""``cluster master`` that is told to stop."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from cluster import settings
from cluster.cli import master, shared


@pytest.mark.parametrize("flags", [["--shutdown-nodes"], []])
def test_a_master_that_is_stopped_before_it_is_at_work_asks_the_nodes_all_the_same(
    flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Stopped:
        def __init__(self, *_: Any) -> None:
            raise SystemExit(143)

    monkeypatch.setattr(master, "Master", Stopped)
    monkeypatch.setattr(master, "shut_down", lambda config, stores: asked.append(stores))
    config = settings.load(broker_url="redis://127.0.0.1:1")
    monkeypatch.setattr(shared, "connect", lambda broker: (config, "the stores"))
    done = CliRunner().invoke(master.command, flags)
    assert done.exit_code == 0
    assert asked == ["the stores"] * len(flags)
