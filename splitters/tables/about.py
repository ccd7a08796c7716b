"""Make the card of a source whose rows were dealt out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitters.tables import PARTS, deal
from splitters.tables.card import FORMAT, Card, Scale
from splitters.tables.deal import Dealt
from splitters.tables.moments import Moments
from splitters.tables.source import Source
from splitters.tables.values import listed


def card(
    train: Source, held: Source | None, dealt: Dealt, targets: Sequence[NDArray[Any]], scale: Scale | None,
    notes: Sequence[str], seed: int,
) -> Card:  # fmt: skip
    """The card of rows that were dealt out.

    Args:
        train: The training rows, whose encoder has learned.
        held: The file of test rows, if there is one.
        dealt: Who gets which rows.
        targets: For each of ``PARTS``, those that its rows' are among, as a net learns them.
        scale: How numbers were scaled.
        notes: What is to be told of how they were dealt out.
        seed: Of all chance.
    """
    taught = [dealt.taught, np.concatenate(dealt.valid), np.concatenate(dealt.test)]
    of_part = [y[rows] for y, rows in zip(targets, taught, strict=True)]
    number = len(train.classes)
    far = _far_out(train.y[dealt.taught], train.target) if scale else []
    found = [*train.notes, *train.encoder.notes(), *far, *(held.notes if held else ())]
    described = train.encoder.described()
    return {
        "format": FORMAT,
        "source": train.kind,
        "task": "classification" if number else "regression",
        "target": train.target,
        "classes": train.classes,
        "target_scale": scale,
        "input_shape": described.input_shape,
        "dtype": described.dtype,
        "outputs": number or 1,
        "columns": described.columns,
        "scaling": described.scaling,
        "picture": train.picture,
        "rows": {part: len(y) for part, y in zip(PARTS, of_part, strict=True)},
        "class_rows": {
            part: np.bincount(y, minlength=number).tolist() for part, y in zip(PARTS, of_part, strict=True) if number
        },
        "shards": len(dealt.train),
        "shard_rows": [len(rows) for rows in dealt.train],
        "baseline": _baseline(train.classes, scale, *of_part),
        "seed": seed,
        "notes": [*found, *notes],
    }


def _far_out(numbers: NDArray[Any], target: str | None) -> list[str]:
    moments = Moments(1)
    moments.add(numbers[:, None])
    return [one.told(f"the target {target!r}") for one in moments.far_out()]


def _baseline(
    classes: Sequence[str], scale: Scale | None, train: NDArray[Any], valid: NDArray[Any], test: NDArray[Any]
) -> dict[str, Any] | None:
    measured = test if len(test) else valid
    if not len(measured):
        return None
    if scale is None:
        most = int(np.bincount(train).argmax())
        return {"always": classes[most], "accuracy": float((measured == most).mean())}
    rmse = np.sqrt((measured.astype(np.float64) ** 2).mean()) * scale["std"]
    return {"always": _shown(scale["mean"]), "rmse": _shown(rmse)}


def _shown(number: float) -> float:
    """A number with as many digits as a person reads."""
    return float(f"{number:.6g}")


def of_shards(train: Source, dealt: Dealt, batch_size: int) -> list[str]:
    """What the user should know of rows that were dealt out to shards, for steps of ``batch_size`` rows."""
    notes = []
    least = min(len(rows) for rows in dealt.train)
    if least < batch_size:
        notes.append(
            f"a shard has {least} training rows, fewer than a batch of {batch_size}: its steps take all its"
            " rows; fewer --shards would be faster"
        )
    if train.classes and (alone := deal.in_one_shard_only(train.y, dealt.train, len(train.classes))):
        names = listed([train.classes[one] for one in alone])
        notes.append(f"classes that one shard alone has, and so one node at a time learns: {names}")
    return notes


def of_held_out(train: Source, dealt: Dealt) -> list[str]:
    """What the user should know of rows that were held out, or were not."""
    notes = []
    if dealt.returned:
        names = listed([train.classes[one] for one in dealt.returned])
        notes.append(f"classes with so few rows that none is held out: {names}")
    if not sum(map(len, dealt.valid)):
        notes.append("no row is held out for validation: nothing is chosen by how good it is")
    if not sum(map(len, dealt.test)):
        notes.append("no row is held out for the test: how good the result is remains unknown")
    return notes
