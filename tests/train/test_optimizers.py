"""The rate of a round, and what an optimizer is told of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.kit.programs import ROOT


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("cosine", [1.0, 0.853553, 0.5, 0.146447]),
        ("step", [1.0, 1.0, 0.1, 0.01]),
    ],
)
def test_the_rate_follows_the_schedule_by_round(schedule: str, rates: list[float]) -> None:
    from tasks.train import optimizers

    found = [optimizers.rate_at(schedule, 1.0, number, 4) for number in range(4)]
    assert found == pytest.approx(rates, rel=1e-5)
    assert optimizers.rate_at(schedule, 1.0, 17, 4) == found[-1]


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.9), ("adamw", 0.8)])
def test_an_optimizer_does_what_torchs_class_does(name: str, momentum: float) -> None:
    import torch

    from tasks.train.optimizers import Optimizer

    weights, gradients = torch.linspace(-1, 1, 50), torch.zeros(50)
    theirs = torch.nn.Parameter(weights.clone())
    if name == "sgd":
        reference = torch.optim.SGD([theirs], lr=0.1, momentum=momentum, weight_decay=0.1)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
        reference = kind([theirs], lr=0.1, betas=(momentum, 0.999), weight_decay=0.1)
    ours = Optimizer(name, weights, gradients, momentum=momentum, weight_decay=0.1)
    for rate in (0.1, 0.1, 0.01):
        gradients.copy_(weights.sin() + 0.5)
        theirs.grad = gradients.clone()
        reference.param_groups[0]["lr"] = rate
        reference.step()
        ours.step(rate)
    torch.testing.assert_close(weights, theirs.data)


def test_an_unknown_optimizer_is_refused() -> None:
    import torch

    from tasks.train.optimizers import Optimizer

    with pytest.raises(ValueError, match="'lion'; it must be one of adamw, adam, sgd"):
        Optimizer("lion", torch.zeros(2), torch.zeros(2), momentum=0.9, weight_decay=0.0)


def test_a_slot_does_not_import_the_compiler() -> None:
    code = """
import sys
from aggregators import nets
from tests.kit import training
view = nets.resolve(nets.parse("mlp:8"), (4,), 3).init(0)
training.Shard(training.blobs(), net="mlp:8", steps=2).turn(view)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
