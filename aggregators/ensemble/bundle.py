"""The model that an ensemble is, as files of a bundle: data only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aggregators import Model, onnx_ensemble, submodels
from aggregators.ensemble import figures, parts
from aggregators.ensemble.state import Card, State

FORMAT = 1
ENSEMBLE, CARD, CURVE, ONNX = "ensemble.json", "card.json", "curve.json", "model.onnx"
LARGE_BYTES = 50 * 10**6
"""From there on a note tells the size of an ONNX file."""


def file_of(number: int) -> str:
    """The file of a sub-model, counted from 0."""
    return f"models/{number:03}.npz"


def finish(state: State, rows: Sequence[Mapping[str, Any]], about: bytes) -> Model:
    """Make the model, and the report.

    Args:
        state: The last one.
        rows: The curve, as far as it is kept.
        about: The card.

    Raises:
        ValueError: The run has ended before its end.
    """
    if state.chosen is None:
        raise ValueError("the ensemble has not come to its end")
    card: Card = json.loads(about)
    told = {
        "format": FORMAT,
        "task": card["task"],
        "classes": card["classes"],
        "models": [
            {
                "file": file_of(number),
                "kind": parts.kind_of(each.shard, card),
                "part": parts.part_of(each.shard, card),
            }
            for number, each in enumerate(state.models)
        ],
        "combiner": state.chosen.to_json(),
    }
    files = {
        ENSEMBLE: json.dumps(told, ensure_ascii=False).encode(),
        CARD: about,
        CURVE: json.dumps(rows).encode(),
        **{file_of(number): each.model for number, each in enumerate(state.models)},
    }
    onnx, note = _onnx(state)
    files |= onnx
    metrics = {"test": figures.tell(state.test, card), "valid": _valid(state, card)}
    shares = card["shares"]
    parameters = {
        "format": FORMAT, "task": card["task"], "target": card["target"], "classes": card["classes"],
        "combine": _combine(state), "kinds": shares["kinds"], "parts": shares["parts"], "by": shares["by"],
        "sub_models": len(state.models), "metrics": metrics,
    }  # fmt: skip
    return Model(files, parameters, _report(state.noted(*note), card, metrics))


def _onnx(state: State) -> tuple[dict[str, bytes], list[str]]:
    """The ensemble as an ONNX file; or why there is none."""
    assert state.chosen is not None  # noqa: S101 - see finish
    try:
        data = onnx_ensemble.write([submodels.unpack(each.model) for each in state.models], state.chosen)
    except onnx_ensemble.TooLarge as error:
        return {}, [f"there is no {ONNX}, so NumPy answers: {error}"]
    if len(data) < LARGE_BYTES:
        return {ONNX: data}, []
    others = sum(len(each.model) for each in state.models)
    return {ONNX: data}, [
        f"{ONNX} has {len(data) / 1e6:,.0f} MB, and the sub-models {others / 1e6:,.0f}: a depth, as rf:depth=12, larger"
        " leaves, as rf:leaf=5, or fewer trees make both smaller"
    ]


def _combine(state: State) -> dict[str, Any]:
    """The combiner that was chosen, and what the validation rows say of each that was tried."""
    chosen = next(each for each in state.tried if each.combiner.how == state.chosen.how)  # type: ignore[union-attr]
    told: dict[str, Any] = {"asked": state.combine, "chosen": chosen.combiner.how}
    told["validation"] = {each.combiner.how: each.score for each in state.tried if each.score is not None}
    return told if chosen.strength is None else {**told, "strength": chosen.strength}


def _valid(state: State, card: Card) -> dict[str, Any]:
    chosen = next(each for each in state.tried if each.combiner.how == state.chosen.how)  # type: ignore[union-attr]
    return {} if chosen.score is None else {"accuracy" if card["classes"] else "rmse": chosen.score}


def _report(state: State, card: Card, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the run; whoever publishes it adds ``model``, ``lost`` and ``nodes``."""
    shares = card["shares"]
    return {
        "task": card["task"], "rows": card["rows"], "classes": card["classes"], "by": shares["by"],
        "share": round(shares["share"], 4), "parts": shares["parts"], "combine": _combine(state), **metrics,
        "baseline": card["baseline"],
        "sub_models": [
            {
                "kind": parts.kind_of(each.shard, card), "part": parts.part_of(each.shard, card), "rows": each.rows,
                "node": each.node, "seconds": round(each.seconds, 3), "valid": each.valid,
                "size_bytes": len(each.model),
            }
            for each in state.models
        ],
        "missing": [
            {
                "kind": parts.kind_of(each.shard, card), "part": parts.part_of(each.shard, card), "why": each.why,
                "node": each.node,
            }
            for each in state.lost
        ],
        "notes": [*card["notes"], *state.notes],
    }  # fmt: skip
