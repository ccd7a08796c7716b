"""The model that a training gives, as files of a bundle: data only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from aggregators import DRAINED, Model, nets, onnx_net
from aggregators.codec import Floats
from aggregators.nets import Net
from aggregators.training import scores, views
from aggregators.training.state import Card, State

FORMAT = 1
WEIGHTS, NET, CARD, CURVE, ONNX = "weights.safetensors", "net.json", "card.json", "curve.json", "model.onnx"
ENSEMBLE = "ensemble.json"
"""Bundles of the job ensemble have it; those of train do not."""
SYNC_BYTES = 8
"""Bytes a parameter and step of a shard in synchronous training: a gradient of float32 up, the weights down."""


def finish(state: State, rows: Sequence[Mapping[str, Any]], about: bytes) -> Model:
    """Make the model of the best weights, and the report.

    The weights are those that the test rows were evaluated with: rounded to float16, kept as float32.

    Args:
        state: The last one.
        rows: The curve, as far as it is kept.
        about: The card.

    Raises:
        ValueError: The training has ended before its end.
    """
    if state.best is None:
        raise ValueError("the training has not come to its end")
    card, net = json.loads(about), nets.from_json(state.net)
    metrics = {"test": scores.tell(state.book.test, card), "valid": scores.tell(state.book.valid, card)}
    made = _model(state, views.see(None, state.best, whole=True), rows, about)
    parameters = {**made.parameters, "metrics": metrics}
    return Model(made.files, parameters, _report(state, rows, card, net, metrics))


def checkpoint(state: State, rows: Sequence[Mapping[str, Any]], about: bytes) -> Model:
    """Make a model of the weights between two rounds, to train on if the run is lost: the newest ones, not the best.

    Args:
        state: Any.
        rows: The curve so far.
        about: The card.
    """
    return _model(state, state.weights, rows, about)


def _model(state: State, flat: Floats, rows: Sequence[Mapping[str, Any]], about: bytes) -> Model:
    card, net = json.loads(about), nets.from_json(state.net)
    files = {
        WEIGHTS: safetensors.numpy.save(net.named(flat)),
        NET: state.net.encode(),
        CARD: about,
        CURVE: json.dumps(rows).encode(),
        ONNX: onnx_net.write(net, flat, card),
    }
    named = nets.parse(state.settings.net).name != "declared"
    parameters = {
        "format": FORMAT, "task": card["task"], "net": state.settings.net.strip() if named else net.name,
        "classes": card["classes"], "target": card["target"],
    }  # fmt: skip
    return Model(files, parameters, {})


def weights(folder: Path, net: Net, card: Card) -> Floats:
    """Return the weights of a bundle that ``finish`` made, to train them on.

    Raises:
        ValueError: It is none, or is of another net, for other classes, or for other columns.
    """
    try:
        old, known = nets.from_json((folder / NET).read_text()), json.loads((folder / CARD).read_bytes())
        named = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
        classes, columns = known["classes"], _columns(known)
    except FileNotFoundError as error:
        made = "an ensemble" if (folder / ENSEMBLE).is_file() else f"without {Path(error.filename).name}"
        raise ValueError(f"the model to train on is none of the job train: it is {made}") from None
    except (OSError, ValueError, LookupError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(f"the model to train on is none of the job train: {error}") from None
    if old._replace(name=net.name) != net:
        raise ValueError(f"the model to train on is another net; give --net as it was made with:\n{old.table()}")
    if classes != card["classes"]:
        raise ValueError(
            f"the model to train on has the classes {_some(classes)}; the data has {_some(card['classes'])}"
        )
    if columns != _columns(card):
        odd = next(new or old for old, new in zip_longest(columns, _columns(card)) if old != new)
        raise ValueError(
            f"the model to train on has other columns than the data: {odd[0]!r} is one of them. Their order and their"
            " texts must be the same"
        )
    return net.flat(named)


def _columns(card: Mapping[str, Any]) -> list[tuple[str, list[str | None] | None]]:
    """Return what each number that a net takes of a table stands for: names, and the texts of a category."""
    return [(column["name"], column.get("values")) for column in card["columns"]]


def _report(
    state: State, rows: Sequence[Mapping[str, Any]], card: Card, net: Net, metrics: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """Figures of the run; whoever publishes it adds ``model``, ``lost`` and ``nodes``."""
    book, settings = state.book, state.settings
    drained = [row for row in rows if row.get("kind") == DRAINED]
    up_bytes, down_bytes = (
        counted + sum(row[name] for row in drained)
        for name, counted in (("up_bytes", book.up_bytes), ("down_bytes", book.down_bytes))
    )
    traffic_bytes = up_bytes + down_bytes
    sync_bytes = SYNC_BYTES * net.size * book.steps
    return {
        "task": card["task"], "net": net.name, "parameters": net.size, "mode": settings.mode,
        "rounds": book.trained // card["shards"] if settings.mode == "async" else book.trained,
        "best_round": book.best_round, "rows": card["rows"], **metrics, "baseline": card["baseline"],
        "shards": card["shards"], "steps": book.steps, "samples": book.samples,
        "traffic": {
            "codes_bytes": book.codes_bytes, "up_bytes": up_bytes, "down_bytes": down_bytes,
            "share_of_sync_fp32": float(f"{traffic_bytes / sync_bytes:.6g}") if sync_bytes else None,
        },
        "late": sum(row.get("late", 0) for row in rows),
        "rejected": sum(len(row.get("rejected", ())) for row in rows),
        "dropped": book.dropped + sum(row["dropped"] for row in drained),
        "seconds": rows[-1].get("at") if rows else None,
        "notes": [*card["notes"], *book.notes],
    }  # fmt: skip


def _some(classes: Sequence[str]) -> str:
    return ", ".join(classes[:5]) + (f" and {len(classes) - 5:,} more" if len(classes) > 5 else "") or "none: a number"
