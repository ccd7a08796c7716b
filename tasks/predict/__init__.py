"""Say what a trained model says of rows: the class and its probabilities, or a number.

An item is a block of rows, see ``splitters.rows``, or a picture. Its value is a dict:

* of rows ``start`` (the number of the first one in the input) and ``rows``, how many; then ``columns``, see
  ``aggregators.predictions``; of rows given as JSON ``values`` in its place, a dict for each row;
* of a picture such a dict.

The dicts have ``label``, or ``value`` for a model of numbers; ``probability:CLASS``, if they are asked for; and the
columns that are kept. A row that cannot be read has None, and its item a failure that names it.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from splitters import Chunk, Item
from tasks import Part

if TYPE_CHECKING:
    import numpy as np

    from aggregators.predictor import Predictor
    from splitters.rows.blocks import Rows
    from splitters.tables.card import Card
    from splitters.tables.encoding import Encoder

    Array = np.ndarray[Any, np.dtype[Any]]

MOST_NAMED = 5
"""Rows of a block that its failure names."""


class Loaded(NamedTuple):
    """A model that is ready."""

    predictor: Predictor
    encoder: Encoder


def predict(
    chunk: Chunk, *, model: str | None = None, probabilities: bool = False, keep: str | None = None
) -> Part[dict[str, Any]]:
    """Answer each row of each block, and each picture.

    Args:
        chunk: Blocks of rows or pictures, see ``splitters.rows``.
        model: The path of the model's folder.
        probabilities: Give the probability of each class.
        keep: Columns of the input that the answer has beside, with commas between.

    Raises:
        ValueError: There is no such model.
    """
    from aggregators import predictions
    from splitters import pictures

    if not model:
        raise ValueError("the job predict needs a model: name one with --model")
    loaded = opened(model)
    kept = predictions.kept(keep)
    found: dict[str, Any] = {}
    failures: dict[str, str] = {}
    seen = [item for item in chunk if pictures.HEADS.match(item.data)]
    if seen:
        _see(seen, loaded, found, failures, probabilities=probabilities)
    for item in chunk:
        if item.name not in found and item.name not in failures:
            _answer(item, loaded, kept, found, failures, probabilities=probabilities)
    return Part(found, failures)


def why_unavailable(*, model: str | None = None) -> str:
    """Why this machine cannot predict (by the model in that folder), or ""."""
    names = {"numpy": "NumPy", "safetensors": "safetensors"}
    if missing := [name for module, name in names.items() if not find_spec(module)]:
        return " and ".join(f"{name} is not installed" for name in missing)
    if not model:
        return ""
    try:
        card = opened(model).predictor.card
    except ValueError as error:
        return str(error)
    return "Pillow is not installed" if card["source"] == "pictures" and not find_spec("PIL") else ""


def made_up(model: str) -> Item:
    """A row, or a picture, as the model in that folder takes it; of means, and the first text of each category.

    Raises:
        ValueError: There is no such model.
    """
    import orjson

    from aggregators import predictor

    card = predictor.read_card(Path(model))
    if card["columns"]:
        row = {column["name"]: column.get("mean", (column.get("values") or [None])[0]) for column in card["columns"]}
        return Item("row", orjson.dumps([row]))
    if card["source"] == "pictures":
        from PIL import Image

        out = io.BytesIO()
        size = card["picture"]["width"], card["picture"]["height"]
        Image.new("RGB", size, "grey").save(out, format="PNG")
        return Item("picture", out.getvalue())
    import numpy as np

    return Item("row", orjson.dumps(np.zeros((1, *card["input_shape"])).tolist()))


def unusable(model: str) -> str:
    """Why no machine can predict by the model in that folder, or ""."""
    try:
        opened(model)
    except ValueError as error:
        return str(error)
    except ImportError:
        pass  # this machine cannot tell
    return ""


def _see(
    seen: Sequence[Item], loaded: Loaded, found: dict[str, Any], failures: dict[str, str], *, probabilities: bool
) -> None:
    """Enter each picture in one of the two."""
    from aggregators import predictions

    try:
        X, problems = loaded.encoder.pictures(item.data for item in seen)
        scores = loaded.predictor.scores(X)
        rows = predictions.plain(scores, loaded.predictor.card["classes"], {}, probabilities=probabilities)
    except (ValueError, ImportError) as error:
        failures |= dict.fromkeys((item.name for item in seen), str(error))
        return
    for at, item in enumerate(seen):
        if at in problems:
            failures[item.name] = problems[at]
        else:
            found[item.name] = rows[at]


def _answer(
    item: Item, loaded: Loaded, kept: Sequence[str], found: dict[str, Any], failures: dict[str, str], *,
    probabilities: bool,
) -> None:  # fmt: skip
    """Enter a block, and which of its rows cannot be read; a block that cannot be read has no labels."""
    from aggregators import predictions
    from splitters import rows
    from splitters.rows import blocks

    where = rows.place(item.name)
    try:
        block = blocks.read(item, *_wanted(loaded.encoder, kept))
        if where is not None and block.number != where[1]:
            raise ValueError(f"{block.number:,} rows were read of it, and it was cut as {where[1]:,}")
        scores, problems = _scores(block, loaded)
        columns = _kept(block, kept)
    except ValueError as error:
        failures[item.name] = str(error)
        if where is not None:
            found[item.name] = {"start": where[0], "rows": where[1], "columns": []}
        return
    start = where[0] if where else 0
    pack = predictions.packed if where else predictions.plain
    made = pack(
        scores, loaded.predictor.card["classes"], columns, probabilities=probabilities, without=problems
    )  # fmt: skip
    found[item.name] = {"start": start, "rows": block.number, "columns" if where else "values": made}
    if problems:
        failures[item.name] = _named(problems, start)


def _scores(block: Rows, loaded: Loaded) -> tuple[Array, Mapping[int, str]]:
    """What the model says of the rows, and of which it says nothing."""
    problems = dict(block.problems)
    names = loaded.encoder.names
    if block.X is not None and not (names and all(name in block.columns for name in names)):
        X = loaded.encoder.array(block.X, problems)
    else:
        X = loaded.encoder.columns(block.columns, problems)
    return loaded.predictor.scores(X), problems


def _wanted(encoder: Encoder, kept: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns to read as numbers, and those to read as texts."""
    numbers = [name for name in encoder.numbers if name not in kept]
    return numbers, [*kept, *(name for name in encoder.names if name not in numbers and name not in kept)]


def _kept(block: Rows, kept: Sequence[str]) -> dict[str, Any]:
    for name in kept:
        if name not in block.columns:
            raise ValueError(
                f"--keep names {name!r}, which is no column of the input (it has: {', '.join(block.columns)})"
            )
    return {name: block.columns[name] for name in kept}


def _named(problems: Mapping[int, str], start: int) -> str:
    """A sentence about rows that have no label."""
    told = [f"row {start + row}: {problems[row]}" for row in sorted(problems)[:MOST_NAMED]]
    more = f"; and {len(problems) - MOST_NAMED} more rows" if len(problems) > MOST_NAMED else ""
    return "; ".join(told) + more


@functools.lru_cache(maxsize=2)
def opened(folder: str) -> Loaded:
    """Load a model once in a process.

    Raises:
        ValueError: There is none, or it is damaged.
    """
    from aggregators import predictor
    from splitters.tables.encoding import Encoder

    found = predictor.load(Path(folder))
    return Loaded(found, Encoder.of(cast("Card", found.card)))
