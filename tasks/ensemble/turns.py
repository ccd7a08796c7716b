"""One sub-model's work in one round."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregators import submodels
from aggregators.ensemble import arrays, figures, parts
from aggregators.ensemble.predictor import scores_of
from aggregators.ensemble.state import Card
from aggregators.ensemble.views import View
from aggregators.submodels import spec
from splitters import tables
from tasks import Turn

MOST_MODEL_BYTES = 200 * 2**20
BLOCK_ROWS = 4096


def do(turn: Turn, seed: int) -> dict[str, Any]:
    """See ``tasks.ensemble.work``."""
    if "shard" not in turn.kept or (turn.kind == "fit" and "X" not in turn.kept["shard"]):
        turn.kept["shard"] = tables.arrays(turn.read())
    shard: dict[str, NDArray[Any]] = turn.kept["shard"]
    # Rows to fit on are most of a shard, and no other round needs them.
    turn.kept["shard"] = {name: array for name, array in shard.items() if name not in ("X", "y")}
    read_at = time.monotonic()
    value = DO[turn.kind](turn, shard, json.loads(turn.about), seed)
    turn.times["compute"] = time.monotonic() - read_at
    turn.times["encode"] = 0.0
    return {"kind": turn.kind, **value}


def fit(turn: Turn, shard: dict[str, NDArray[Any]], card: Card, seed: int) -> dict[str, Any]:
    """Fit the shard's sub-model; say why where it cannot be fitted on these rows, as no other node can do it either."""
    from tasks.ensemble import fit as fitting

    asked = parts.kind_of(turn.shard, card)
    notes: list[str] = []
    began = time.monotonic()
    data, problem = b"", ""
    try:
        y, classes = shard["y"], len(card["classes"])
        model = fitting.fit(spec.parse(asked), shard["X"], y, classes, seed_of(seed, turn.shard), notes)
        data = submodels.pack(model)
    except (ValueError, ArithmeticError) as error:
        problem = parts.as_problem(error)
    if len(data) > MOST_MODEL_BYTES:
        problem = (
            f"it has {len(data):,} bytes, over the limit of {MOST_MODEL_BYTES:,}: give fewer trees, a depth, as"
            " rf:depth=12, or larger leaves, as rf:leaf=5"
        )
        data = b""
    seconds = time.monotonic() - began
    return {"model": data, "rows": len(shard["y"]), "seconds": seconds, "notes": notes, "problem": problem}


def predict(turn: Turn, shard: dict[str, NDArray[Any]], card: Card, seed: int) -> dict[str, Any]:
    """Say what each sub-model says of validation rows, and of rows for a stack."""
    view: View = turn.view
    most, most_stack = parts.most_rows(len(view.models), card), parts.most_stack_rows(len(view.models), card)
    seen, stack_y = shard["stack_seen"][:most_stack], shard["stack_y"][:most_stack]
    unseen = ~seen[:, [parts.part_of(each, card) for each in view.shards]] if len(seen) else np.ones((0, 0), bool)
    is_there = unseen.any(axis=1)
    stack = _scores(view, shard["stack_X"][:most_stack][is_there])
    kinds = [parts.kind_of(each, card) for each in view.shards]
    return {
        "scores": arrays.dump(_scores(view, shard["valid_X"][:most])), "y": arrays.dump(shard["valid_y"][:most]),
        "stack": arrays.dump(replaced(stack, unseen[is_there], kinds)), "stack_y": arrays.dump(stack_y[is_there]),
    }  # fmt: skip


def combine(turn: Turn, shard: dict[str, NDArray[Any]], card: Card, seed: int) -> dict[str, Any]:
    """Fit stacks of some strengths: those of all are dealt out to the shards."""
    from tasks.ensemble import stacking

    view: View = turn.view
    if view.stack is None or view.stack_y is None:
        raise ValueError("the view has no rows for a stack")
    found, problem = [], ""
    try:
        for strength in stacking.STRENGTHS[turn.shard :: turn.shards]:
            coefficients, intercepts = stacking.fit(view.stack, view.stack_y, strength, bool(card["classes"]))
            found.append([strength, arrays.dump(coefficients), arrays.dump(intercepts)])
    except (ValueError, ArithmeticError) as error:
        problem = parts.as_problem(error)
    return {"stacks": found, "problem": problem}


def test(turn: Turn, shard: dict[str, NDArray[Any]], card: Card, seed: int) -> dict[str, Any]:
    """Measure the ensemble on the shard's slice of the test rows."""
    view: View = turn.view
    if view.combiner is None:
        raise ValueError("the view has no combiner")
    rows, y = shard["test_X"], shard["test_y"]
    blocks = [
        view.combiner.combine(scores_of(view.models, rows[at : at + BLOCK_ROWS]))
        for at in range(0, len(rows), BLOCK_ROWS)
    ]
    scores = np.concatenate(blocks) if blocks else np.zeros((0, card["outputs"]))
    return {"sums": figures.measure(scores, y, is_classes=bool(card["classes"]))}


DO = {"fit": fit, "predict": predict, "combine": combine, "test": test}


def replaced(scores: NDArray[np.float32], unseen: NDArray[np.bool_], kinds: Sequence[str]) -> NDArray[np.float32]:
    """What sub-models say of rows that some of them were fitted on, as if none was.

    What a sub-model says of a row that it has seen is replaced by the mean of those of its kind that have not seen it;
    of all that have not, where all of its kind have.

    Args:
        scores: (rows, models, outputs).
        unseen: (rows, models): which sub-models have not seen which rows; one of each row has not.
        kinds: Of the sub-models.
    """
    found = scores.copy()
    if not len(scores):
        return found
    everyone = _mean(scores, unseen)
    for kind in dict.fromkeys(kinds):
        of_kind = np.array([each == kind for each in kinds])
        alike = unseen & of_kind
        mean = np.where(alike.any(axis=1)[:, None], _mean(scores, alike), everyone)
        rows, models = np.nonzero(~unseen & of_kind)
        found[rows, models] = mean[rows]
    return found


def _mean(scores: NDArray[np.float32], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(rows, outputs): the mean of the chosen sub-models; 0 where none is."""
    count = np.maximum(chosen.sum(axis=1), 1)
    total = np.einsum("rmo,rm->ro", scores, chosen.astype(np.float32))
    return np.asarray(total / count[:, None], np.float32)


def seed_of(seed: int, shard: int) -> int:
    """The seed of a sub-model."""
    return int.from_bytes(hashlib.sha256(f"{seed}:ensemble:{shard}".encode()).digest()[:4])


def _scores(view: View, rows: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        found = [_bounded(scores_of(view.models, rows[at : at + BLOCK_ROWS])) for at in range(0, len(rows), BLOCK_ROWS)]
    return np.concatenate(found) if found else np.zeros((0, len(view.models), view.models[0].outputs), np.float32)


def _bounded(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """A row that is far out may be told more than float32 holds: one sub-model must not cost the slice of all."""
    most = parts.MOST_SCORE
    return np.nan_to_num(scores, nan=0.0).clip(-most, most).astype(np.float32)
