"""Processes that train a shard together in a ring: what they give, and what happens when one is gone."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregators import codec, layer_groups, nets
from aggregators.training import parts
from tests.kit import training
from tests.kit.ring_members import HOST, Member
from tests.kit.training import Shard

NET = nets.resolve(nets.parse("mlp:8"), (4,), 3)
VIEW = NET.init(3).tobytes()
STEPS, ROWS = 6, 16
Start = Callable[..., Member]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts members; the processes end with the test."""
    processes: list[BaseProcess] = []

    def begin(number: int, **what: Any) -> Member:
        member = Member(tmp_path, number, VIEW, **what)
        processes.append(member.start())
        return member

    yield begin
    for process in processes:
        process.kill()
        process.join()


def change(value: dict[str, Any]) -> codec.Floats:
    total = np.zeros(NET.size, np.float32)
    codec.decode_into(total, value["groups"], layer_groups.plan(NET.parameters, 32))
    return total


@pytest.mark.parametrize("seats", [2, 3])
def test_a_ring_makes_the_step_of_its_batches_together(start: Start, seats: int) -> None:
    options: dict[str, Any] = {"optimizer": "sgd", "lr": 0.5, "momentum": 0.0, "steps": 1, "bits": 32}
    members = [start(number, seats=seats, options={**options, "batch_size": 999}) for number in range(seats)]
    told = [member.told() for member in members]
    assert [each["ring"] for each in told] == [[seats, ""]] * seats
    first, *others = [each["value"] for each in told]
    shards = [Shard(training.blobs(), number, net="mlp:8", **options, batch_size=999) for number in range(seats)]
    alone = [shard.turn(NET.init(3)) for shard in shards]
    samples = sum(part["samples"] for part in alone)
    wanted = sum(part["samples"] / samples * change(part) for part in alone)
    np.testing.assert_allclose(change(first), wanted, atol=1e-6)
    assert first["loss"] == pytest.approx(sum(part["loss"] * part["samples"] for part in alone) / samples)
    assert (first["steps"], first["samples"], first["members"]) == (seats, samples, list(range(seats)))
    assert all((part["steps"], part["samples"], part["groups"]) == (0, 0, []) for part in others)
    for own, part in zip(alone, (first, *others), strict=True):
        assert part["valid"] == own["valid"]
        parts.check(part)


def test_a_timed_ring_ends_after_the_same_step(start: Start) -> None:
    members = [start(number, seconds=seconds) for number, seconds in enumerate((0.5, 30.0))]
    first, second = [member.told() for member in members]
    assert first["value"]["samples"] == ROWS * first["value"]["steps"]
    assert (first["value"]["members"], second["value"]["steps"]) == ([0, 1], 0)
    assert max(first["took"], second["took"]) < 10


@pytest.mark.parametrize("dies", [0, 1])
def test_a_killed_member_leaves_the_other_its_own_part(start: Start, dies: int) -> None:
    members = [start(number, fault=(3, signal.SIGKILL) if number == dies else None) for number in range(2)]
    told = members[1 - dies].told()
    value = told["value"]
    assert (value["steps"], value["samples"], "members" in value) == (STEPS, STEPS * ROWS, False)
    assert told["ring"][0] == 2
    assert told["ring"][1].startswith("the ring broke: ")
    assert value["valid"]["rows"] > 0
    assert np.linalg.norm(change(value)) > 0
    assert told["took"] < 12


def test_a_stopped_member_is_dead_after_the_ring_has_waited(start: Start) -> None:
    members = [start(number, dead_s=1.0, fault=(3, signal.SIGSTOP) if number == 2 else None, seats=3)
               for number in range(3)]  # fmt: skip
    for member in members[:2]:
        told = member.told()
        assert (told["value"]["steps"], told["value"]["samples"]) == (STEPS, STEPS * ROWS)
        assert told["took"] < 4


def test_a_time_limit_interrupts_a_member_that_waits(start: Start) -> None:
    start(1, fault=(3, signal.SIGSTOP))
    told = start(0, limit_s=1.5).told()
    assert told["value"] is None
    assert 1.5 <= told["took"] < 3


@pytest.mark.parametrize("came", [0, 1])
def test_a_member_whose_ring_does_not_form_works_alone(start: Start, came: int) -> None:
    told = start(came, join_s=0.3).told()
    assert (told["value"]["steps"], told["value"]["samples"]) == (STEPS, STEPS * ROWS)
    assert told["ring"][0] == 1
    assert ("none of the other 1 seats came", "seat 0 did not say where")[came] in told["ring"][1]


def test_those_that_came_form_a_ring_without_the_others(start: Start) -> None:
    members = [start(number, seats=3, join_s=2.0) for number in range(2)]
    first, second = [member.told()["value"] for member in members]
    assert (first["samples"], first["members"]) == (2 * STEPS * ROWS, [0, 1])
    assert second["samples"] == 0


def test_members_with_other_views_work_alone(start: Start) -> None:
    members = [start(number, base=f"view {number}", join_s=0.5) for number in range(2)]
    assert [member.told()["ring"][0] for member in members] == [1, 1]


def test_all_go_on_with_the_moments_of_the_first(start: Start, tmp_path: Path) -> None:
    together = [start(number, rounds=(0, 1)) for number in range(2)]
    wanted = together[0].told(1)["value"]
    together[1].told(1)
    for path in tmp_path.iterdir():
        path.unlink()
    renewed = [start(0, rounds=(0, 1)), start(1, rounds=(0,))]
    renewed[1].told(0)
    start(1, rounds=(1,))  # by another process
    assert renewed[0].told(1)["value"]["groups"] == wanted["groups"]


def test_ports_are_open_on_the_own_address_while_the_ring_lives(start: Start) -> None:
    for number, member in enumerate([start(number) for number in range(2)]):
        told = member.told()
        assert told["ring"] == [2, ""]
        assert told["meanwhile"] == [HOST] * (2 - number)
        assert told["before"] == told["after"] == []


def test_a_member_whose_owner_allows_no_peers_opens_no_port(start: Start) -> None:
    told = start(0, host="").told()
    assert told["ring"] == [1, "this node listens to no peers (its owner can set CLUSTER_LAN=allow)"]
    assert told["before"] == told["meanwhile"] == told["after"] == []
    assert told["took"] < 4
