"""Requests to paste: a made-up row for a model of tables, zeros for one of tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson

from cluster import errors

if TYPE_CHECKING:
    from cluster.bundles.store import ModelStore
    from cluster.job import Job

CARD = "card.json"
MOST_COLUMNS = 64
MOST_NUMBERS = 256
_ZERO = {"bool": False}


def row(store: ModelStore, model: str) -> dict[str, Any] | None:
    """A row that a model of tables takes, of means and first values; None for a model of something else.

    Args:
        store: Has the model.
        model: NAME or NAME:VERSION.
    """
    manifest = store.manifest(model)
    files = [file for file in manifest.files if file.path == CARD]
    if not files:
        return None
    try:
        card = orjson.loads(b"".join(store.bundles.read(manifest, piece) for piece in files[0].refs()))
        columns = card["columns"]
        found = {one["name"]: _value(one) for one in columns[:MOST_COLUMNS]}
    except (errors.BlobError, ValueError, LookupError, TypeError, AttributeError):  # it is only an example
        return None
    return found if 0 < len(columns) <= MOST_COLUMNS else None


def tensors(store: ModelStore, job: Job, model: str) -> dict[str, Any] | None:
    """A request of zeros by KServe's protocol V2 for a model that takes tensors alone; None for another one.

    {} where this machine cannot find out what it takes, or that is too much to paste. Fetches the model.
    """
    manifest = store.manifest(model)
    if job.infer_about is None or manifest.parameters.get("tensors") is not True:
        return None
    from cluster.gateway.tensors import V2_OF

    try:
        inputs = job.infer_about(str(store.fetch(manifest.reference))).inputs
        shapes = [[1, *shape[1:]] for _, _, shape in inputs]
        if sum(map(math.prod, shapes)) > MOST_NUMBERS:
            return {}
    except Exception:  # noqa: BLE001 - a model may need what this machine lacks, or take rows of any length
        return {}
    zeros = [
        {"name": name, "shape": shape, "datatype": V2_OF[dtype][0], "data": [_ZERO.get(dtype, 0)] * math.prod(shape)}
        for (name, dtype, _), shape in zip(inputs, shapes, strict=True)
    ]
    return {"inputs": zeros}


def _value(column: dict[str, Any]) -> Any:
    if column["kind"] == "number":
        return float(f"{column['mean']:.3g}")
    return next((value for value in column["values"] if value is not None), None)
