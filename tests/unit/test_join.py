"""Parts of one site joined into one: a tree in place of a star."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from aggregators import Closed, codec, layer_groups, nets, training
from aggregators.training import pace
from tests.kit import softmax
from tests.kit.softmax import Part

ABOUT = softmax.card()
NETWORK = nets.resolve(nets.parse(softmax.NET), (softmax.FEATURES,), softmax.CLASSES)
GROUPS = layer_groups.plan(NETWORK.parameters, 4)
ANY = np.random.default_rng(5)


def decoded(part: Mapping[str, Any], bits: int = 4) -> codec.Floats:
    found = np.zeros(NETWORK.size, np.float32)
    codec.decode_into(found, part["groups"], layer_groups.plan(NETWORK.parameters, bits))
    return found


def part_of(shard: int, *, samples: int = 100, scale: float = 0.01, bits: int = 4, **other: Any) -> Part:
    random = np.random.default_rng(shard)
    change = (scale * random.standard_normal(NETWORK.size)).astype(np.float32)
    groups = codec.encode(change, layer_groups.plan(NETWORK.parameters, bits), random)
    valid = {"rows": 10, "correct": shard, "loss_sum": 5.0}
    return {
        "base": "3", "kind": "train", "steps": 4, "samples": samples, "loss": 1.0 + shard, "groups": groups,
        "valid": valid, "device": "cpu", "fresh": False, **other,
    }  # fmt: skip


def join(parts: Mapping[int, Part], **options: Any) -> dict[str, Any]:
    return training.join(parts, ABOUT, net=softmax.NET, **options)


def test_a_joined_part_is_the_mean_by_samples() -> None:
    parts = {shard: part_of(shard, samples=100 * (shard + 1), bits=32) for shard in range(3)}
    joined = join(parts, bits=32)
    expected = np.average([decoded(part, 32) for part in parts.values()], axis=0, weights=[1, 2, 3])
    assert np.allclose(decoded(joined, 32), expected, atol=1e-7)
    assert (joined["steps"], joined["samples"], joined["members"], joined["refused"]) == (12, 600, [0, 1, 2], {})
    assert joined["loss"] == pytest.approx((1 * 1 + 2 * 2 + 3 * 3) / 6)
    assert joined["valid"] == {"rows": 30, "correct": 3, "loss_sum": 15.0}
    training.check(joined)


def test_a_joined_part_is_encoded_within_the_error_of_its_bits() -> None:
    parts = {shard: part_of(shard) for shard in range(4)}
    joined = join(parts)
    expected = np.mean([decoded(part) for part in parts.values()], axis=0)
    step = np.abs(expected).max() / 7  # four bits: 7 multiples of a block's scale to each side
    assert np.abs(decoded(joined) - expected).max() <= step * 1.001
    assert [len(data) for data in joined["groups"]] == codec.sizes_bytes(GROUPS)


def test_rounds_in_float32_are_joined_in_float32() -> None:
    parts = {shard: part_of(shard) for shard in range(2)}
    for part in parts.values():
        part["groups"] = codec.encode(ANY.standard_normal(NETWORK.size).astype(np.float32), layer_groups.exact(GROUPS))
    assert [len(data) for data in join(parts)["groups"]] == codec.sizes_bytes(layer_groups.exact(GROUPS))


def test_the_same_parts_give_the_same_bytes_in_any_order() -> None:
    parts = {shard: part_of(shard) for shard in range(4)}
    assert join(parts) == join(dict(reversed(parts.items())))
    assert join(parts)["groups"] != join(parts, seed=1)["groups"]


def test_a_part_that_is_alone_stays_as_it_is() -> None:
    assert join({2: part_of(2)}) == part_of(2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"base": "2"}, "made for train of the view 2"),
        ({"loss": float("nan")}, "diverged"),
        ({"steps": 3}, "3 steps"),
        ({"groups": [b"x"]}, "groups"),
        ({"valid": {"rows": 10}}, "no "),
    ],
)
def test_a_member_that_cannot_be_used_is_named(change: Part, why: str) -> None:
    parts = {0: part_of(0), 1: part_of(1), 2: part_of(2, **change)}
    joined = join(parts, steps=4)
    assert joined["members"] == [0, 1]
    assert why in joined["refused"][2]


def test_a_member_of_a_huge_norm_is_refused_by_its_site() -> None:
    parts = {0: part_of(0), 1: part_of(1), 2: part_of(2, scale=1.0)}
    assert "norm" in join(parts)["refused"][2]
    assert join(parts, norm_check=False)["members"] == [0, 1, 2]


def test_parts_that_cannot_be_used_give_one_that_changes_nothing() -> None:
    joined = join({0: part_of(0, loss=float("nan")), 1: part_of(1, loss=float("nan"))})
    assert (joined["members"], joined["groups"], joined["samples"]) == ([], [], 0)
    training.check(joined)


def test_sites_that_join_learn_what_a_star_learns() -> None:
    star, _ = softmax.run(rounds=6)
    tree, rows = softmax.run(rounds=6, by_site=[[0, 1], [2, 3]])
    assert tree.report["test"]["accuracy"] == pytest.approx(star.report["test"]["accuracy"], abs=0.03)
    assert tree.report["steps"] == star.report["steps"]
    assert all(row["rejected"] == {} for row in rows)


def test_a_step_names_what_sites_refused() -> None:
    step = training.begin(ABOUT, None, net=softmax.NET, steps=5)
    parts = {shard: softmax.part(step.state.view, "0", "train", 0, shard) for shard in range(4)}
    parts[1]["loss"] = float("nan")
    joined = {0: join({0: parts[0], 1: parts[1]}, steps=5), 2: join({2: parts[2], 3: parts[3]}, steps=5)}
    closed = softmax.close(step, ABOUT, 0, joined)
    assert list(closed.rejected) == [1]
    assert closed.row["steps"] == 15


def test_a_step_that_uses_no_joined_part_names_its_members() -> None:
    step = training.begin(ABOUT, None, net=softmax.NET, steps=5)
    parts = {shard: softmax.part(step.state.view, "9", "train", 0, shard) for shard in range(2)}
    rejected = softmax.close(step, ABOUT, 0, {0: join(parts, steps=5)}).rejected
    assert {shard: "view 9" in why for shard, why in rejected.items()} == {0: True, 1: True}


@pytest.mark.parametrize("steps", [0, 5, 6, 15])
def test_joined_steps_must_be_those_of_its_members(steps: int) -> None:
    step = training.begin(ABOUT, None, net=softmax.NET, steps=5)
    parts = {shard: softmax.part(step.state.view, "0", "train", 0, shard) for shard in range(2)}
    joined = {**join(parts, steps=5), "steps": steps}
    assert bool(softmax.close(step, ABOUT, 0, {0: joined}).rejected) == (steps != 5)


def test_steps_that_two_parts_have_count_once() -> None:
    step = training.begin(ABOUT, None, net=softmax.NET, steps=5)
    parts = {shard: softmax.part(step.state.view, "0", "train", 0, shard) for shard in range(3)}
    whole = join({0: parts[0], 1: parts[1]}, steps=5)
    closed = softmax.close(step, ABOUT, 0, {0: whole, 1: parts[1], 2: parts[2]})
    assert closed.rejected == {1: "its steps are in the part of shard 0"}
    assert closed.row["steps"] == 15


def test_a_joined_part_has_the_pace_of_its_members() -> None:
    closed = Closed(0, 4, "train", "3", 2.0, {0: {**join({0: part_of(0), 1: part_of(1)})}}, node_seconds={0: 2.5})
    assert pace.measure(closed) == (0.5, 0.5)


@pytest.mark.parametrize("odd", [{"members": ["a"]}, {"members": [-1]}, {"refused": {0: 1}}, {"members": [1, 1]}])
def test_members_that_are_no_shards_are_refused(odd: Part) -> None:
    with pytest.raises(ValueError, match="part"):
        training.check({**part_of(0), **odd})


def test_evaluations_are_joined_with_their_confusion() -> None:
    view = training.begin(ABOUT, None, net=softmax.NET, steps=5).state.view
    parts = {shard: softmax.part(view, "3", "test", 0, shard) for shard in range(2)}
    joined = join(parts, steps=5)
    assert (joined["kind"], joined["valid"]["rows"]) == ("test", 2 * softmax.ROWS)
    assert sum(map(sum, joined["valid"]["confusion"])) == 2 * softmax.ROWS
    assert json.dumps(joined) == json.dumps(join(parts, steps=5))
