"""A turn of the job train: what a slot does with its shard in a round."""

from __future__ import annotations

from tasks import train


def test_a_machine_with_torch_can_train() -> None:
    import torch

    assert torch.__version__
    assert train.why_unavailable() == ""
