"""The rate of a round, and what an optimizer is told of it."""

from __future__ import annotations

import pytest


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


def test_a_kept_optimizer_gets_the_rate_of_the_round() -> None:
    import torch

    from tasks.train import optimizers

    weights = torch.nn.Parameter(torch.zeros(2))
    weights.grad = torch.ones(2)
    optimizer = optimizers.build("sgd", weights, rate=1.0, momentum=0.0, weight_decay=0.0)
    optimizer.step()
    optimizers.set_rate(optimizer, 0.1)
    optimizer.step()
    assert weights.tolist() == pytest.approx([-1.1, -1.1])
