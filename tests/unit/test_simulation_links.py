"""Transfers that share links in virtual time."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import pytest
import simpy

from cluster.simulation.links import Line, Links


class Network:
    """Transfers, and when they end."""

    def __init__(self) -> None:
        self.env = simpy.Environment()
        self.links = Links(self.env)
        self.ended: dict[str, float] = {}

    def send(self, name: str, lines: list[Line], size_bytes: int, after_s: float = 0.0) -> None:
        def go() -> Generator[simpy.Event, Any, None]:
            yield self.env.timeout(after_s)
            yield from self.links.transfer(lines, size_bytes)
            self.ended[name] = self.env.now

        self.env.process(go())


def test_a_transfer_is_as_fast_as_the_narrowest_link() -> None:
    network = Network()
    network.send("a", [Line("own", 100, 0.5), Line("shared", 10, 1.0), Line("wide", math.inf, 0.0)], 100)
    network.env.run()
    assert network.ended == {"a": pytest.approx(10 + 1.5)}


def test_transfers_share_a_link_and_speed_up_when_one_ends() -> None:
    network, shared = Network(), Line("shared", 10, 0.0)
    network.send("short", [shared], 50)
    network.send("long", [shared], 100)
    network.env.run()
    assert network.ended == {"short": pytest.approx(10.0), "long": pytest.approx(15.0)}
    assert shared.sent_bytes == 150
    assert shared.busy_s == pytest.approx(15.0)


def test_a_transfer_that_begins_later_slows_the_other_down() -> None:
    network, shared = Network(), Line("shared", 10, 0.0)
    network.send("first", [shared], 100)
    network.send("second", [shared], 100, after_s=5.0)
    network.env.run()
    assert network.ended == {"first": pytest.approx(15.0), "second": pytest.approx(20.0)}


def test_what_one_cannot_use_the_others_get() -> None:
    network, shared = Network(), Line("shared", 10, 0.0)
    network.send("held up", [Line("narrow", 2, 0.0), shared], 20)
    network.send("free", [Line("wide", 100, 0.0), shared], 80)
    network.env.run()
    assert network.ended == {"held up": pytest.approx(10.0), "free": pytest.approx(10.0)}


def test_sixty_transfers_that_begin_at_once_end_at_once() -> None:
    network, shared = Network(), Line("shared", 60, 0.0)
    for number in range(60):
        network.send(str(number), [Line("own", 7, 0.0), shared], 10)
    network.env.run()
    assert list(network.ended.values()) == [pytest.approx(10.0)] * 60


def test_nothing_to_send_takes_the_latency_alone() -> None:
    network, line = Network(), Line("own", 10, 0.25)
    network.send("empty", [line], 0)
    network.env.run()
    assert network.ended == {"empty": 0.25}
