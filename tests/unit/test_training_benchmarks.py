"""What the benchmarks of training work out of what they measured."""

from __future__ import annotations

from typing import Any

import pytest

from aggregators import codec, layer_groups, nets
from tests.benchmarks.training import accuracy, peers, quantized, rows, speed
from tests.benchmarks.training.others import Look, Went
from tests.benchmarks.training.trained import Trained

GIVEN = {"shards": 8, "steps": 25, "rounds": 80}


def trained(curve: list[dict[str, Any]]) -> Trained:
    report = {"test": {"accuracy": 0.97}}
    return Trained("train-1", report, curve, begun_at=100.0, wall_s=9.0, redis_bytes=10)


@pytest.mark.parametrize("share", [0, 25, 100])
def test_the_formula_of_bytes_agrees_with_the_codec(share: int) -> None:
    net = nets.resolve(nets.parse("mlp:128,128"), (16,), 26)
    groups = layer_groups.plan(net.parameters, quantized.BITS)
    small, exact = sum(codec.sizes_bytes(groups)), sum(codec.sizes_bytes(layer_groups.exact(groups)))
    few = sum(layer_groups.is_quantized(at, 80, share, "spread") for at in range(80))

    assert rows.parameters() == net.size
    assert quantized.up_bytes(GIVEN, share) == 8 * (few * small + (80 - few) * exact)


def test_one_process_is_judged_at_its_better_rate() -> None:
    found = [{0.001: 0.96, 0.002: 0.97}, {0.001: 0.96, 0.002: 0.94}]

    assert accuracy.at_better_rate(found) == (0.001, [0.96, 0.96])
    assert accuracy.at_each_rate(found) == "rate 0.001: 0.9600, 0.9600; rate 0.002: 0.9700, 0.9400"


def test_overhead_is_the_share_of_a_round_without_computing() -> None:
    curve = [
        {"round": 0, "kind": "train", "closed_at": 100.0, "times": {"compute": 5.0}},
        {"round": 1, "kind": "train", "closed_at": 101.0, "times": {"compute": 0.9}},
        {"round": 2, "kind": "train", "closed_at": 102.0, "times": {"compute": 0.8}},
        {"round": 3, "kind": "train", "closed_at": 103.0, "times": {"compute": 0.95}},
        {"round": 4, "kind": "test", "closed_at": 109.0, "times": {"compute": 0.1}},
    ]

    assert speed.overhead(trained(curve)) == pytest.approx(0.1)
    assert trained(curve).seconds_from(0) == 3.0


def test_a_curve_tells_seconds_and_bytes_to_a_level_of_accuracy() -> None:
    curve = [
        {"kind": "train", "closed_at": 101.0, "up_bytes": 10**6, "down_bytes": 10**6, "accuracy": 0.5},
        {"kind": "train", "closed_at": 103.0, "up_bytes": 10**6, "down_bytes": 10**6, "accuracy": 0.85},
        {"kind": "train", "closed_at": 104.0, "up_bytes": 10**6, "down_bytes": 10**6, "accuracy": 0.88},
    ]

    found = peers.figures(peers.looks(trained(curve)))

    assert (found["accuracy"], found["s"], found["MB"]) == (0.97, 4.0, 6.0)
    assert (found["s to 0.8"], found["MB to 0.8"]) == (3.0, 4.0)
    assert found["s to 0.94"] == 4.0


@pytest.mark.parametrize(
    ("code", "share", "anew", "said"),
    [
        (0, 1.0, False, "goes on; accuracy 0.9000, 20 s instead of 10 s"),
        (0, 1.0, True, "begins again from 0 %; accuracy 0.9000"),
        (1, 0.5, False, "ends with code 1 at 50% of the samples"),
        (None, 0.5, False, "hangs: nothing for 90 s after 50% of the samples"),
        (0, 0.5, False, "ends with code 0 at 50% of the samples"),
    ],
)
def test_what_became_of_a_peer_is_told(code: int | None, share: float, anew: bool, said: str) -> None:
    alone = Went([Look(1.0, 8.0, 100, 0.9)], 10.0, 0, "", anew=False)

    assert peers.outcome(Went([Look(share, 18.0, 100, 0.9)], 20.0, code, "", anew), alone).startswith(said)
