"""Put shares together: read, hold rows out, share the training rows, scale, and tell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitters import MAX_ITEM_BYTES, Chunk, Item
from splitters.tables import ABOUT, about, array_item, cut, deal
from splitters.tables.buckets import Bucket, Buckets
from splitters.tables.deal import Dealt, Held, Rows
from splitters.tables.shares import BYS, Shares
from splitters.tables.source import Source, Wanted
from splitters.tables.values import listed

USUAL_PARTS = 8
FEW_ROWS = 50
"""Training rows that a part has at least, where nobody says how many parts there are to be."""
ALL_BYTES, SAMPLE_BYTES = 64 * 2**20, 256 * 2**20
"""Encoded training rows up to which each part has all of them, or a sample of them."""
USUAL_SHARE = 0.5
MOST_STACK = 20_000
"""Rows that a stack is fitted on."""


class Options(NamedTuple):
    """How rows are shared; see ``shares.split``."""

    test: float
    valid: float
    kinds: tuple[str, ...]
    parts: int
    by: str
    share: float
    seed: int


class Plan(NamedTuple):
    """Who gets which rows."""

    by: str
    share: float
    parts: list[Rows]
    """The training rows of each part."""
    stack: Rows
    """Rows for a stack: of each there is a part that does not have it."""
    held: Held


def split(paths: Sequence[Path], test_file: Path | None, wanted: Wanted, options: Options) -> Iterator[Chunk]:
    """See ``shares.split``.

    Raises:
        ValueError: The source or an option cannot be used.
    """
    if not options.kinds:
        raise ValueError("name a kind of sub-models with --kind, as --kind rf")
    cut.check_shares(options.test, options.valid, test_file)
    if cut.kind(paths) == "pictures":
        raise ValueError("an ensemble learns from tables, and this is a folder of pictures: use the job train")
    train = cut.read(paths, wanted)
    _check_is_table(train)
    held = None if test_file is None else cut.read_held(test_file, paths, wanted, train)
    plan = _plan(train, options, 0.0 if held else options.test)
    shards = len(plan.parts) * len(options.kinds)
    test_rows = np.arange(len(held.y)) if held else plan.held.test
    dealt = Dealt(
        plan.parts * len(options.kinds),
        deal.slices(plan.held.valid, shards, deal.chance(options.seed, "valid slices")),
        deal.slices(test_rows, shards, deal.chance(options.seed, "test slices")),
        plan.held.taught,
        plan.held.returned,
    )
    _check_size(plan, train.encoder.row_bytes)
    yield from _chunks(train, held, plan, dealt, Buckets(wanted.folder), options)


def _chunks(
    train: Source, held: Source | None, plan: Plan, dealt: Dealt, buckets: Buckets, options: Options
) -> Iterator[Chunk]:  # fmt: skip
    wanted = [plan.held.taught, plan.held.valid, *([] if held else [plan.held.test])]
    scattered = buckets.scatter(cut.learned(train, dealt.taught), wanted, "rows")
    if held:
        scattered += buckets.scatter(held.blocks(), [np.arange(len(held.y))], "test")
    targets, scale = cut.targets(train, held, dealt.taught)
    notes = [*about.of_held_out(train, dealt), *_notes(train, plan)]
    card = about.card(train, held, dealt, targets, scale, notes, options.seed)
    told = Shares(
        by=plan.by, share=plan.share, parts=len(plan.parts), kinds=list(options.kinds), stack_rows=len(plan.stack)
    )
    yield [Item(ABOUT, json.dumps({**card, "shares": told}, ensure_ascii=False).encode())]
    taught, valid, test = scattered
    stacks = deal.slices(plan.stack, len(dealt.train), deal.chance(options.seed, "stack slices"))
    part = _Reader(train, buckets, targets, options.seed)
    problems = train.problems + (held.problems if held else [])
    for shard, rows in enumerate(dealt.train):
        order = "train" if plan.by == "all" else f"train {shard % len(plan.parts)}"
        stack = part.order(stacks[shard], f"stack {shard}")
        yield [
            *part.arrays("", taught, part.order(rows, order), 0),
            *part.arrays("valid_", valid, part.order(dealt.valid[shard], f"valid {shard}"), 1),
            *part.arrays("test_", test, part.order(dealt.test[shard], f"test {shard}"), 2),
            *part.arrays("stack_", taught, stack, 0),
            array_item("stack_seen", _seen(stack, plan.parts)),
            *problems,
        ]
        problems = []


class _Reader:
    """Makes the items of a shard."""

    def __init__(self, train: Source, buckets: Buckets, targets: Sequence[NDArray[Any]], seed: int) -> None:
        self._encoder = train.encoder
        self._buckets = buckets
        self._targets = targets
        self._seed = seed

    def order(self, rows: Rows, what: str) -> Rows:
        """The rows in an order by chance."""
        return rows[deal.chance(self._seed, f"order of {what}").permutation(len(rows))]

    def arrays(self, before: str, bucket: Bucket, rows: Rows, target: int) -> list[Item]:
        """Encoded rows, and their targets."""
        encoded = self._encoder.encode(self._buckets.look_up(bucket, rows))
        return [array_item(f"{before}X", encoded), array_item(f"{before}y", self._targets[target][rows])]


def _plan(train: Source, options: Options, test: float) -> Plan:
    seed, is_classes = options.seed, bool(train.classes)
    held = deal.hold_out(train.y, is_classes=is_classes, test=test, valid=options.valid, seed=seed)
    rows = held.taught
    by = _by(options.by, len(rows) * train.encoder.row_bytes, options.share)
    parts = options.parts or max(1, min(USUAL_PARTS, len(rows) // FEW_ROWS))
    if len(rows) < parts:
        raise ValueError(
            f"{len(rows):,} training rows of {len(train.y):,} cannot be shared by {parts} parts: give fewer --parts, or"
            " a smaller --test and --valid"
        )
    if by == "all":
        return Plan(by, 1.0, [rows] * parts, rows[:0], held)
    if by == "rows":
        found = deal.slices(rows, parts, deal.chance(seed, "train"))
        share = 1 / parts
    else:
        share = options.share or USUAL_SHARE
        number = max(1, round(share * len(rows)))
        draws = [deal.chance(seed, f"part {part}").choice(len(rows), number, replace=False) for part in range(parts)]
        found = [rows[np.sort(drawn)] for drawn in draws]
    drawn = deal.chance(seed, "stack").permutation(rows)[: 2 * MOST_STACK]
    stack = np.sort(drawn[~_seen(drawn, found).all(axis=1)][:MOST_STACK])
    return Plan(by, share, found, stack, held)


def _by(asked: str, size_bytes: int, share: float) -> str:
    if asked not in ("auto", *BYS):
        raise ValueError(f"--by is {asked!r}; it must be one of auto, {', '.join(BYS)}")
    if share and asked not in ("auto", "sample"):
        raise ValueError(f"--share is for --by sample, and --by is {asked}")
    if asked != "auto":
        return asked
    if share:
        return "sample"
    return "all" if size_bytes <= ALL_BYTES else "sample" if size_bytes <= SAMPLE_BYTES else "rows"


def _seen(rows: Rows, parts: Sequence[Rows]) -> NDArray[np.bool_]:
    """Which parts have which rows: (rows, parts)."""
    return np.stack([np.isin(rows, part, assume_unique=True) for part in parts], axis=1)


def _check_is_table(train: Source) -> None:
    shape = train.encoder.described().input_shape
    if len(shape) != 1:
        raise ValueError(
            f"a row of {train.name} has the shape {'x'.join(map(str, shape))}, and an ensemble takes rows of numbers:"
            " save X.reshape(len(X), -1), or use the job train"
        )


def _check_size(plan: Plan, row_bytes: int) -> None:
    most = max(map(len, plan.parts)) * row_bytes
    if most > MAX_ITEM_BYTES:
        how = {"rows": "more --parts", "sample": "a smaller --share, or --by rows", "all": "--by sample, or --by rows"}
        raise ValueError(f"a part has {most:,} bytes, over the limit of {MAX_ITEM_BYTES:,}: give {how[plan.by]}")


def _notes(train: Source, plan: Plan) -> list[str]:
    if not train.classes:
        return []
    lacking = [
        np.flatnonzero(np.bincount(train.y[rows], minlength=len(train.classes)) == 0).tolist() for rows in plan.parts
    ]
    return [
        f"part {part} has no row of {listed([train.classes[one] for one in classes])}: its sub-models never say so"
        for part, classes in enumerate(lacking)
        if classes
    ][:10]
