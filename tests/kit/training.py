"""A small input of the job train, and the turns of its shards without a cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import numpy.typing as npt

from aggregators import Closed, Model, training
from cluster import functions
from splitters import Chunk, tables
from splitters.tables.card import FORMAT, Card
from tasks import Turn, train
from tasks.train.batches import Batches

Array = npt.NDArray[Any]


class Data(NamedTuple):
    """What a splitter gives: the card, and a chunk for each shard."""

    about: bytes
    shards: list[Chunk]


def blobs(
    rows: int = 240, shards: int = 3, classes: int = 3, features: int = 4, spread: float = 0.3, seed: int = 1
) -> Data:  # fmt: skip
    """Points around a centre for each class, which a small net tells apart; a fifth each for validation and test."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((classes, features))
    y = np.arange(rows) % classes
    X = (centres[y] + spread * random.standard_normal((rows, features))).astype(np.float32)
    return cut(X, y.astype(np.int32), shards, classes, random)


def numbers(rows: int = 200, shards: int = 2, features: int = 3, seed: int = 1) -> Data:
    """Numbers that are a sum of others."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((rows, features)).astype(np.float32)
    y = X.sum(1)
    return cut(X, ((y - y.mean()) / y.std()).astype(np.float32), shards, 0, random)


def cut(X: Array, y: Array, shards: int, classes: int, random: np.random.Generator, **card: Any) -> Data:
    """Cut rows into shards as ``splitters.tables`` says."""
    order = random.permutation(len(X))
    pieces = np.array_split(order, shards)
    third = [(piece[: len(piece) * 3 // 5], *np.array_split(piece[len(piece) * 3 // 5 :], 2)) for piece in pieces]
    chunks = [
        [
            tables.array_item(name, array)
            for (for_X, for_y), own in zip(tables.ARRAYS, each, strict=True)
            for name, array in ((for_X, X[own]), (for_y, y[own]))
        ]
        for each in third
    ]
    counts = [int((y[np.concatenate([each[0] for each in third])] == one).sum()) for one in range(classes)]
    told: Card = {
        "format": FORMAT, "source": "arrays", "task": "classification" if classes else "regression", "target": "y",
        "classes": [f"class {one}" for one in range(classes)],
        "target_scale": None if classes else {"mean": 0.0, "std": 1.0},
        "input_shape": list(X.shape[1:]), "dtype": "uint8" if X.dtype == np.uint8 else "float32",
        "outputs": classes or 1, "columns": [], "scaling": None, "picture": None,
        "rows": {part: sum(len(each[at]) for each in third) for at, part in enumerate(tables.PARTS)},
        "class_rows": {"train": counts} if classes else {}, "shards": shards,
        "shard_rows": [len(each[0]) for each in third], "baseline": None, "seed": 0, "notes": [],
    }  # fmt: skip
    return Data(json.dumps({**told, **card}).encode(), chunks)


class Shard:
    """A shard of the data and what a process keeps of it; counts how often the shard is read."""

    def __init__(self, data: Data, number: int = 0, **options: Any) -> None:
        self.data, self.number, self.options = data, number, options
        self.kept: dict[str, Any] = {}
        self.times: dict[str, float] = {}
        self.reads = 0

    def turn(
        self, view: Array, round_: int = 0, kind: str = "train", seconds: float | None = None, base: str = "base"
    ) -> dict[str, Any]:  # fmt: skip
        """Do a turn, and see that its value is what MessagePack carries."""
        self.times.clear()
        view.flags.writeable = False
        turn = Turn(
            round_, self.number, len(self.data.shards), kind, seconds, view, base, self.data.about, self.read,
            self.kept, self.times,
        )  # fmt: skip
        value = train.train(turn, **self.options)
        assert msgpack.unpackb(msgpack.packb(value)) is not None
        return value

    def read(self) -> Chunk:
        self.reads += 1
        return self.data.shards[self.number]

    def arrays(self) -> dict[str, Array]:
        return tables.arrays(self.data.shards[self.number])


def digest(values: Sequence[Any]) -> str:
    """The same for values of the same bytes."""
    return hashlib.sha256(msgpack.packb(list(values))).hexdigest()


def run(
    source: Path, forget: bool = False, spoil: int | None = None, **options: Any
) -> tuple[Model, list[dict[str, Any]]]:  # fmt: skip
    """Do all rounds here: split, begin, do the turns, close the rounds, finish.

    Args:
        source: What is learnt.
        forget: Each turn is done by a process that knows nothing of those before.
        spoil: The shard whose rate is so large that its training diverges.
        options: Of the job.

    Returns:
        The model, and a row for each round.
    """
    [[about], *chunks] = tables.split([source], **functions.taken(tables.split, options))
    data = Data(about.data, chunks)
    own = functions.taken(train.train, options)
    shards = [
        Shard(data, number, **{**own, **({"lr": 1e30} if number == spoil else {})}) for number in range(len(chunks))
    ]
    step = training.begin(data.about, None, **functions.taken(training.begin, options))
    rows: list[dict[str, Any]] = []
    view, version, round_ = training.see(None, step.view or b"", step.whole), 0, 0
    seen = [(view, version)] * len(shards)
    while step.kind:
        turns = [round_ % len(shards)] if step.apart else range(len(shards))
        if not step.apart:
            seen = [(view, version)] * len(shards)
        parts = {}
        for number in turns:
            if forget:
                shards[number].kept.clear()
            parts[number] = shards[number].turn(seen[number][0], round_, step.kind, step.seconds, str(seen[number][1]))
            training.check(parts[number])
        closed = Closed(
            round_, len(shards), step.kind, str(seen[turns[0]][1]), step.seconds, parts,
            staleness=version - seen[turns[0]][1], view_bytes=len(step.view or b""),
            sizes_bytes={number: len(msgpack.packb(part)) for number, part in parts.items()},
        )  # fmt: skip
        kind, step = step.kind, training.step(step.state, closed, data.about)
        rows.append(
            {"round": round_, "kind": kind, "rejected": {str(k): v for k, v in step.rejected.items()}, **step.row}
        )
        if step.view is not None:
            view, version = training.see(view, step.view, step.whole), version + 1
        for number in turns:
            seen[number] = (view, version)
        round_ += 1
    return training.finish(step.state, rows, data.about), rows


def arrays_of(shard: Chunk) -> dict[str, Array]:
    """The arrays of a shard by name."""
    return tables.arrays(shard)


def train_batches_at(taken: list[int]) -> Callable[[Batches, int], Array]:
    """``Batches.at`` that also notes the numbers of the batches."""
    at = Batches.at

    def note(self: Batches, number: int) -> Array:
        taken.append(number)
        return at(self, number)

    return note
