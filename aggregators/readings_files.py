"""Write pages that were read to a file, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import orjson

from aggregators import by_name, readings
from aggregators.readings import Reading
from splitters import page_names

Parts = Iterable[Mapping[str, Reading | None]]
COLUMNS = ("item", "document", "page", "text", "confidence", "source", "seconds", "node", "turn")
READ = "ocr"
"""The source of a text that an engine read."""


def write_json(parts: Parts, out: BinaryIO) -> None:
    """Write one JSON object ``{item: text}``, without items that failed."""
    by_name.write_json(map(readings.texts, parts), out)


def write_jsonl(parts: Parts, out: BinaryIO, pages_of: Any = None) -> None:
    """Write an object with ``COLUMNS`` and ``digest`` a line, each at once, without items that failed.

    Where words were kept it also has ``size``, which is ``[width, height, dpi]``, and ``lines``, as in ``Reading``.
    ``page`` is null for an item that is a whole file. ``pages_of`` is not needed.
    """
    for name, record in _read(parts):
        row = {**_row(name, record), "digest": record["digest"]}
        if "lines" in record:
            row |= {"size": record["page"], "lines": record["lines"]}
        out.write(orjson.dumps(row) + b"\n")
        out.flush()


def write_csv(parts: Parts, out: BinaryIO) -> None:
    """Write a table with ``COLUMNS``, a row a page, without items that failed.

    UTF-8, rows end with a line feed; texts have their own in quotes. Names and texts pass ``by_name.cell``.
    """
    out.write(by_name.line(COLUMNS))
    for name, record in _read(parts):
        row = _row(name, record)
        out.write(by_name.line([by_name.cell(value) if isinstance(value, str) else value for value in row.values()]))


def _read(parts: Parts) -> Iterator[tuple[str, Reading]]:
    for part in parts:
        for name, record in part.items():
            if record is not None:
                yield name, record


def _row(name: str, record: Reading) -> dict[str, Any]:
    document, page = page_names.parse(name)
    values = (
        name, page_names.path(document), page, record["text"], record["confidence"], record.get("source", READ),
        record["seconds"], record["node"], record.get("turn", 0),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
