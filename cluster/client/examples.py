"""Requests to paste: a made-up row for a model of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from cluster import errors

if TYPE_CHECKING:
    from cluster.bundles.store import ModelStore

CARD = "card.json"
MOST_COLUMNS = 64


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


def _value(column: dict[str, Any]) -> Any:
    if column["kind"] == "number":
        return float(f"{column['mean']:.3g}")
    return next((value for value in column["values"] if value is not None), None)
