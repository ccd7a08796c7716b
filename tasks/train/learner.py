"""A net on a device that is trained by steps, its weights in one flat vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from aggregators import nets
from tasks.train import torch_nets

Floats = npt.NDArray[np.float32]


class Learner:
    """A net whose weights are one vector, and their gradients another, so that each step changes all at once."""

    def __init__(self, net: nets.Net, device: str) -> None:
        """Build the net, with weights of 0."""
        self.module = torch_nets.build(net, device)
        self.weights = self.module.flat
        self.gradients = torch.zeros_like(self.weights)
        for each, parameter in zip(net.parameters, self.module.parameters(), strict=True):
            parameter.grad = self.gradients[each.start : each.stop].view(each.shape)

    def load(self, weights: Floats) -> None:
        """Take these weights, float32 of shape (n,)."""
        torch_nets.load_flat(self.module, weights)

    def change_from(self, weights: Floats) -> Floats:
        """How far the weights are from these: float32 of shape (n,)."""
        return torch_nets.dump_flat(self.module) - weights

    def look(self, inputs: torch.Tensor, y: torch.Tensor, class_weights: torch.Tensor | None = None) -> float:
        """Put the gradients of a batch's mean loss into ``gradients``, with ``module`` in training mode; return it."""
        self.gradients.zero_()
        loss = mean_loss(self.module(inputs), y, class_weights)
        loss.backward()
        return float(loss.item())  # waits for a GPU, so that the clock is right


def mean_loss(outputs: torch.Tensor, y: torch.Tensor, class_weights: torch.Tensor | None = None) -> torch.Tensor:
    """Cross entropy of logits where ``y`` counts classes, else the mean squared error of numbers."""
    if y.dtype == torch.int64:
        return torch.nn.functional.cross_entropy(outputs, y, weight=class_weights)
    return torch.nn.functional.mse_loss(outputs.reshape(y.shape), y)


def balanced(rows: Sequence[int]) -> list[float]:
    """Weights of classes that make them count alike, by how many rows each has (King & Zeng, "Logistic Regression in
    Rare Events Data", 2001); a class without rows gets 0."""
    present = sum(count > 0 for count in rows)
    return [sum(rows) / (present * count) if count else 0.0 for count in rows]
