"""A slot with a GPU computes there. The device "meta" stands in, which has shapes but no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aggregators import nets
from tests.kit import training


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots compute on a device that is not the CPU; what they read back from it is made up."""
    import torch

    from tasks.train import devices, evaluate, torch_nets

    def item(tensor: torch.Tensor) -> float:
        assert tensor.device.type == "meta"
        return 1.0

    def evaluated(predict: Any, rows: Any, *_: Any, **__: Any) -> dict[str, Any]:
        assert predict(rows.X).device == rows.y.device == torch.device("meta")
        return {}

    monkeypatch.setattr(devices, "own", lambda: "meta")
    monkeypatch.setattr(torch.Tensor, "item", item)
    monkeypatch.setattr(evaluate, "evaluate", evaluated)
    monkeypatch.setattr(torch_nets, "dump_flat", lambda module: np.zeros(module.flat.shape, np.float32))


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("net", "dtype"), [("mlp:8", "float32"), ("cnn:4", "uint8"), ("resnet-s:8,16", "uint8")])
def test_all_of_a_turn_is_done_on_the_slots_device(net: str, dtype: str) -> None:
    random = np.random.default_rng(0)
    X, y = random.integers(0, 255, (40, 3, 8, 8)).astype(dtype), (np.arange(40) % 2).astype(np.int32)
    scaling = {"axis": 1, "mean": [1.0] * 3, "std": [2.0] * 3} if dtype == "uint8" else None
    data = training.cut(X, y, 1, 2, random, scaling=scaling)
    shard = training.Shard(data, net=net, steps=2, class_weights="balanced", augment="flip,shift", seed=3)
    value = shard.turn(nets.resolve(nets.parse(net), (3, 8, 8), 2).init(0))
    assert (value["device"], value["steps"]) == ("meta", 2)
    assert value["groups"]
