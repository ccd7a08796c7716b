"""Tables that were cut for a network, as tests look at them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitters import Item, tables
from splitters.tables.card import Card

Arrays = dict[str, NDArray[Any]]


class Cut(NamedTuple):
    """What the splitter gave."""

    card: Card
    shards: list[Arrays]
    problems: dict[str, str]

    def all(self, name: str) -> NDArray[Any]:
        """An array of all shards, one after another."""
        return np.concatenate([shard[name] for shard in self.shards])

    def notes(self) -> str:
        """All notes, a line each."""
        return "\n".join(self.card["notes"])


def cut(*paths: Path, **options: Any) -> Cut:
    """Cut a source."""
    [about], *chunks = tables.split(paths, **options)
    assert about.name == tables.ABOUT
    problems: dict[str, str] = {}
    shards = []
    for chunk in chunks:
        for item in chunk:
            if item.problem:
                assert item.name not in problems, f"{item.name} is named twice"
                problems[item.name] = item.problem
        shards.append(tables.arrays(item for item in chunk if not item.problem))
    return Cut(json.loads(about.data), shards, problems)


def items(*paths: Path, **options: Any) -> list[list[Item]]:
    """The chunks as they are."""
    return list(tables.split(paths, **options))


def save(path: Path, **arrays: Any) -> Path:
    """Write an .npz file; arrays of objects are pickled."""
    np.savez(path, **arrays)
    return path


def write(path: Path, columns: Mapping[str, Any], delimiter: str = ",") -> Path:
    """Write a CSV file."""
    rows = zip(*columns.values(), strict=True)
    lines = [delimiter.join(columns), *(delimiter.join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pictures(folder: Path, number: int = 10, size: tuple[int, int] = (4, 3)) -> Path:
    """Write ``number`` dark and as many bright pictures, a folder for each."""
    from PIL import Image

    for name, level in (("bright", 200), ("dark", 20)):
        (folder / name).mkdir(parents=True)
        for at in range(number):
            Image.new("RGB", size, (level, at, 0)).save(folder / name / f"{at}.png")
    return folder
