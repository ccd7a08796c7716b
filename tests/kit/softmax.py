"""Training in rounds without torch: softmax regression in NumPy, whose parts ``aggregators.training`` joins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregators import Closed, Model, Step, codec, layer_groups, nets, training
from aggregators.codec import Floats

CLASSES, FEATURES, SHARDS, ROWS = 3, 8, 4, 120
"""Rows a shard and part: for training, validation and test."""
NET = '[[layers]]\ntype = "linear"\nunits = "outputs"\n'
Part = dict[str, Any]
Spoil = Callable[[int, int, Part], Part | None]
"""Round, shard, part -> what arrives instead; None: nothing."""


def card(**changes: Any) -> bytes:
    rows = SHARDS * ROWS
    found = {
        "format": 1, "source": "arrays", "task": "classification", "target": "y", "classes": ["a", "b", "c"],
        "target_scale": None, "input_shape": [FEATURES], "dtype": "float32", "outputs": CLASSES, "columns": [],
        "scaling": None, "picture": None, "rows": {"train": rows, "valid": rows, "test": rows},
        "class_rows": {}, "shards": SHARDS, "shard_rows": [ROWS] * SHARDS, "seed": 0, "notes": [],
        "baseline": {"always": "a", "accuracy": 0.4},
    }  # fmt: skip
    return json.dumps(found | changes).encode()


def rows_of(part: str, shard: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Made-up rows of three classes that lie close to each other."""
    rng = np.random.default_rng([shard, len(part)])
    centres = np.random.default_rng(0).standard_normal((CLASSES, FEATURES))
    y = rng.integers(0, CLASSES, ROWS)
    return (centres[y] + 1.2 * rng.standard_normal((ROWS, FEATURES))).astype(np.float32), y


def evaluate(weights: Floats, part: str, shard: int) -> dict[str, Any]:
    X, y = rows_of(part, shard)
    logits = _logits(weights, X)
    said = logits.argmax(1)
    chances = _softmax(logits)[np.arange(len(y)), y]
    found: Part = {"rows": len(y), "loss_sum": float(-np.log(chances + 1e-9).sum()), "correct": int((said == y).sum())}
    if part == "test":
        found["confusion"] = np.bincount(y * CLASSES + said, minlength=CLASSES**2).reshape(CLASSES, CLASSES).tolist()
    return found


def part(view: Floats, base: str, kind: str, round_: int, shard: int, steps: int = 5, **options: Any) -> Part:
    """What a slot hands in; with the ``options`` bits and rate."""
    found: Part = {
        "base": base, "kind": kind, "steps": 0, "samples": 0, "loss": 0.0, "groups": [],
        "valid": evaluate(view, "test" if kind == "test" else "valid", shard), "device": "cpu", "fresh": round_ == 0,
    }  # fmt: skip
    if kind == "train":
        trained, loss = _train(view, shard, steps, options.get("rate", 0.3))
        parameters = nets.resolve(nets.parse(NET), (FEATURES,), CLASSES).parameters
        groups = layer_groups.plan(parameters, options.get("bits", 4))
        rng = np.random.default_rng([round_, shard])
        found |= {"steps": steps, "samples": steps * ROWS, "loss": loss}
        found["groups"] = codec.encode(trained - view, groups, rng)
    return found


def run(
    about: bytes | None = None, spoil: Spoil = lambda round_, shard, part: part, *,
    by_site: Sequence[Sequence[int]] = (), **options: Any,
) -> tuple[Model, list[dict[str, Any]]]:  # fmt: skip
    """Do all rounds, each with all shards, here; the state goes through bytes after each. Gives model and curve.

    Of each site in ``by_site`` the parts of its shards are joined before.
    """
    about = about or card()
    step = training.begin(about, None, **{"net": NET, "steps": 5, **options})
    rows: list[dict[str, Any]] = []
    view, round_ = None, 0
    while step.kind:
        if step.view is not None:
            view = training.see(view, step.view, step.whole)
        assert view is not None
        base = str(round_)
        made = {shard: part(view, base, step.kind, round_, shard) for shard in range(SHARDS)}
        parts = {shard: found for shard, one in made.items() if (found := spoil(round_, shard, one)) is not None}
        for shards in by_site:
            of_site = {shard: parts.pop(shard) for shard in shards if shard in parts}
            parts[min(of_site)] = training.join(of_site, about, net=NET, steps=5)
        step = close(step, about, round_, parts)
        rows.append({"round": round_, "rejected": dict(step.rejected), "late": SHARDS - len(parts), **step.row})
        round_ += 1
    return training.finish(step.state, rows, about), rows


def close(step: Step, about: bytes, round_: int, parts: Mapping[int, Part], **more: Any) -> Step:
    """Check the parts as a coordinator does, and close the round."""
    for each in parts.values():
        training.check(each)
    closed = Closed(
        round=round_, shards=SHARDS, kind=step.kind, base=str(round_), seconds=step.seconds, parts=parts,
        late=tuple(set(range(SHARDS)) - set(parts)), view_bytes=len(step.view or b""),
        sizes_bytes={shard: 100 + sum(map(len, each["groups"])) for shard, each in parts.items()},
    )._replace(**more)  # fmt: skip
    return training.step(training.load(training.dump(step.state)), closed, about)


def weights_of(model: Model) -> bytes:
    return model.files["weights.safetensors"]


def accuracies(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    return [row["accuracy"] for row in rows if "accuracy" in row]


def _train(view: Floats, shard: int, steps: int, rate: float) -> tuple[Floats, float]:
    X, y = rows_of("train", shard)
    weights, losses = view.copy(), []
    for _ in range(steps):
        chances = _softmax(_logits(weights, X))
        losses.append(float(-np.log(chances[np.arange(len(y)), y] + 1e-9).mean()))
        chances[np.arange(len(y)), y] -= 1
        chances /= len(y)
        weights -= np.float32(rate) * np.concatenate([(chances.T @ X).ravel(), chances.sum(0)]).astype(np.float32)
    return weights, float(np.mean(losses))


def _logits(weights: Floats, X: Floats) -> Floats:
    cut = CLASSES * FEATURES
    found: Floats = X @ weights[:cut].reshape(CLASSES, FEATURES).T + weights[cut:]
    return found


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    found: Floats = raised / raised.sum(1, keepdims=True)
    return found
