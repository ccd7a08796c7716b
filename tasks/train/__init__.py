"""Train a net on a shard of the data, some steps a round, with PyTorch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import Any

from packaging.version import Version

from tasks import Turn
from tasks.train.options import FIXED_STEPS, Options

__all__ = ["train", "why_unavailable"]

LEAST = Version("2.6")
HOW = "a CPU build is enough: docs/howto/install.md"


def why_unavailable() -> str:
    """Say why this machine cannot train, or ""; looks for the libraries without importing them."""
    for name, package in (("torch", "PyTorch"), ("numpy", "NumPy")):
        if importlib.util.find_spec(name) is None:
            return f"{package} is not installed ({HOW})"
    try:
        found = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:  # built here, and not by pip
        return ""
    if Version(found) < LEAST:
        return f"PyTorch {found} is too old; training needs {LEAST} or newer ({HOW})"
    return ""


def train(
    turn: Turn, *, net: str = "mlp:128,128", mode: str = "local", steps: int = 0, batch_size: int = 32,
    optimizer: str = "adamw", lr: float = 0.002, momentum: float = 0.9, weight_decay: float = 0.01,
    inner_state: str = "keep", schedule: str = "constant", rounds: int = 40, class_weights: str = "none",
    augment: str = "none", bits: int = 4, quantize: float = 100, quantize_when: str = "spread",
    error_feedback: bool = False, joint: str = "auto", seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Evaluate the view on the shard's slice of the validation rows, then train it on the shard.

    Done again with the same turn, options and ``steps``, it gives the same bytes on the same machine if the inner state
    is reset and there is no error feedback; ``turn.kept`` may be empty or not. Other processors round in other ways.

    Args:
        turn: ``view`` is float32 of shape (n,): the weights. Only a turn of the kind "train" trains; one of the kind
            "test" evaluates the slice of the test rows instead. Steps are made for ``turn.seconds`` from now, at least
            one; where that is None, ``steps``. ``turn.steps`` is an exact number instead.
        net: A named net, or the text of a ``model.toml``: see ``aggregators.nets``.
        mode: "sync" makes one step. With "async" each shard has ``rounds`` rounds of its own.
        steps: 0 is ``FIXED_STEPS``.
        batch_size: Rows a step; all, where the shard has fewer.
        optimizer: With ``lr``, ``momentum`` and ``weight_decay``: see ``optimizers.build``.
        inner_state: "keep" leaves the optimizer's state for the next round, as long as this process lives; "reset"
            begins each round without.
        schedule: See ``optimizers.rate_at``; with ``rounds``, as planned.
        rounds: See ``schedule``.
        class_weights: "none", or "balanced": see ``learner.balanced``.
        augment: See ``augment.change``.
        bits: Of a value of the encoded change; with ``joint``: see ``layer_groups.chosen``.
        quantize: With ``quantize_when``: see ``layer_groups.is_quantized``.
        quantize_when: See ``quantize``.
        error_feedback: Add what the encoding left over to the next round's change, as long as this process lives.
        joint: See ``bits``.
        seed: Decides batches, augmentation, dropout and rounding, together with the round and the shard.

    Returns:
        ``base`` and ``kind`` of the turn; ``steps``, ``samples`` and their mean ``loss``; ``groups``, the encoded
        change of the weights; ``valid``, see ``evaluate.evaluate``; ``device``; ``fresh``, whether this process saw
        the shard for the first time. If the training diverges, ``loss`` is NaN and ``groups`` is empty, so that the
        part is refused and the round goes on; the optimizer begins anew in the next one.

    Raises:
        ValueError: The options do not fit the data.
    """
    from tasks.train import turns

    fixed = 1 if mode == "sync" else steps or FIXED_STEPS
    planned = rounds * turn.shards if mode == "async" else rounds
    options = Options(
        net, seed, fixed, batch_size, optimizer, lr, momentum, weight_decay, inner_state, schedule, planned,
        class_weights, augment, bits, quantize, quantize_when, error_feedback, joint,
    )  # fmt: skip
    return turns.do(turn, options)
