"""Pictures are changed a little for each batch, and stay what they are."""

from __future__ import annotations

import numpy as np
import pytest

from splitters import tables
from tests.kit import training
from tests.kit.training import Shard, digest

CNN = "cnn:4"


def test_half_of_the_pictures_are_mirrored() -> None:
    import torch

    from tasks.train import augment

    pictures = torch.arange(200 * 2 * 3 * 4, dtype=torch.float32).reshape(200, 2, 3, 4)
    before = pictures.clone()
    changed = augment.change(pictures, frozenset({"flip"}), np.random.default_rng(1))
    same = (changed == pictures).flatten(1).all(1)
    assert 70 < int(same.sum()) < 130
    assert torch.equal(changed[~same], pictures.flip(3)[~same])
    assert torch.equal(pictures, before)


def test_pictures_are_shifted_by_up_to_an_eighth() -> None:
    import torch

    from tasks.train import augment

    pictures = torch.zeros(300, 1, 16, 24)
    pictures[:, :, 8, 12] = 1
    changed = augment.change(pictures, frozenset({"shift"}), np.random.default_rng(1))
    assert changed.shape == pictures.shape
    places = {(int(y) - 8, int(x) - 12) for _, _, y, x in changed.nonzero()}
    assert places == {(y, x) for y in range(-2, 3) for x in range(-3, 4)}
    assert torch.equal(changed.sum((1, 2, 3)), torch.ones(300))


def test_what_comes_in_at_the_edge_is_the_mean() -> None:
    import torch

    from tasks.train import augment

    changed = augment.change(torch.ones(50, 1, 8, 8), frozenset({"shift"}), np.random.default_rng(1))
    assert set(changed.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("text", "odd"), [("flip,spin", "spin"), ("", ""), ("none,flip", "none")])
def test_an_unknown_kind_of_change_is_refused(text: str, odd: str) -> None:
    from tasks.train import augment

    with pytest.raises(ValueError, match=f"{odd!r} is none of flip, shift, none"):
        augment.kinds(text)


def pictures(dtype: str, shape: tuple[int, ...]) -> training.Data:
    random = np.random.default_rng(3)
    y = (np.arange(60) % 2).astype(np.int32)
    X = np.zeros((60, *shape))
    X[:] = 40 + 20 * random.random(X.shape)
    X[y == 1, ..., : shape[-1] // 2] += 120  # light on the left
    if dtype == "float32":
        X = (X - X.mean()) / X.std()
    scaling = {"axis": 1, "mean": [100.0] * shape[0], "std": [60.0] * shape[0]} if dtype == "uint8" else None
    return training.cut(X.astype(dtype), y, 1, 2, random, scaling=scaling)


@pytest.mark.parametrize(("dtype", "shape"), [("uint8", (3, 8, 8)), ("float32", (1, 8, 8)), ("float32", (8, 8))])
def test_augmented_training_is_reproducible_and_differs(dtype: str, shape: tuple[int, ...]) -> None:
    from aggregators import nets

    weights = nets.resolve(nets.parse(CNN), shape, 2).init(0)
    data = pictures(dtype, shape)
    values = {
        augment: [digest(Shard(data, net=CNN, steps=3, augment=augment).turn(weights)["groups"]) for _ in range(2)]
        for augment in ("none", "flip", "shift", "flip,shift")
    }
    assert all(first == again for first, again in values.values())
    assert len({first for first, _ in values.values()}) == 4


def test_a_net_sees_pictures_scaled_by_the_card() -> None:
    from aggregators import nets

    data = pictures("uint8", (3, 8, 8))
    raw = training.arrays_of(data.shards[0])
    scaled = {name: (raw[name].astype(np.float32) - 100) / np.float32(60) for name in ("X", "valid_X", "test_X")}
    items = [tables.array_item(name, scaled.get(name, array)) for name, array in raw.items()]
    floats = training.Data(data.about.replace(b'"uint8"', b'"float32"'), [items])
    weights = nets.resolve(nets.parse(CNN), (3, 8, 8), 2).init(0)
    ours, theirs = (Shard(each, net=CNN, steps=3, bits=32).turn(weights) for each in (data, floats))
    assert ours["valid"] == theirs["valid"]
    assert ours["groups"] == theirs["groups"]
