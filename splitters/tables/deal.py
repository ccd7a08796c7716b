"""Deal rows out: some are held out for validation and test, the others go to shards; all by chance, from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Numbers of rows, in ascending order."""


class Dealt(NamedTuple):
    """Which rows each shard gets."""

    train: list[Rows]
    """With ``sample``, a row may come several times, in one shard and in several."""
    valid: list[Rows]
    test: list[Rows]
    taught: Rows
    """All rows that are not held out."""
    returned: list[int]
    """Classes that had no row but held out ones, which were given back."""


def chance(seed: int, what: str) -> np.random.Generator:
    """The generator for one purpose."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}:split:{what}".encode()).digest()[:16]))


def held_out(y: NDArray[Any], share: float, *, is_classes: bool, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose ``share`` of the rows: ``round(share * rows)`` or one less or more. Each class has its share, too.

    A systematic sample of the rows, ordered by class and within it by chance (Madow and Madow, "On the theory of
    systematic sampling", 1944).
    """
    lot = generator.random(len(y))
    order = np.lexsort((lot, y)) if is_classes else np.argsort(lot)
    steps = np.floor(np.arange(len(y) + 1) * share + generator.random())
    chosen = np.zeros(len(y), bool)
    chosen[order] = np.diff(steps) > 0
    return chosen


class Held(NamedTuple):
    """Which rows are held out, in ascending order."""

    taught: Rows
    """All others."""
    valid: Rows
    test: Rows
    returned: list[int]
    """See ``Dealt``."""


def hold_out(y: NDArray[Any], *, is_classes: bool, test: float, valid: float, seed: int) -> Held:
    """Hold rows out for validation and test; see ``deal``. A class keeps at least one row that is taught."""
    for_test = held_out(y, test, is_classes=is_classes, generator=chance(seed, "test"))
    rest = np.flatnonzero(~for_test)
    share = min(1.0, valid * len(y) / max(1, len(rest)))
    for_valid = np.zeros(len(y), bool)
    for_valid[rest] = held_out(y[rest], share, is_classes=is_classes, generator=chance(seed, "valid"))
    is_taught = ~(for_test | for_valid)
    returned: list[int] = []
    if is_classes:
        returned = np.setdiff1d(y, y[is_taught]).tolist()
        is_taught |= np.isin(y, returned)
    valid_rows, test_rows = (np.flatnonzero(chosen & ~is_taught) for chosen in (for_valid, for_test))
    return Held(np.flatnonzero(is_taught), valid_rows, test_rows, returned)


def deal(
    y: NDArray[Any], *, is_classes: bool, test: float, valid: float, shards: int, partition: str, seed: int
) -> Dealt:
    """Deal rows with these targets out.

    Args:
        y: Targets, of shape (rows,).
        is_classes: They are classes.
        test: The share of the rows for the test, below 1.
        valid: The share of the rows for validation; with ``test`` below 1.
        shards: How many.
        partition: "slice": the training rows are scrambled and cut into slices of one size. "sample": each shard draws
            as many rows from all training rows, each time from all of them.
        seed: Gives the same again.

    Raises:
        ValueError: There are fewer training rows than shards.
    """
    taught, for_valid, for_test, returned = hold_out(y, is_classes=is_classes, test=test, valid=valid, seed=seed)
    if len(taught) < shards:
        raise ValueError(
            f"{len(taught):,} training rows of {len(y):,} cannot be cut into {shards} shards: give fewer --shards, or a"
            " smaller --test and --valid"
        )
    if partition == "sample":
        most = -(-len(taught) // shards)
        draws = [chance(seed, f"shard {shard}").integers(0, len(taught), most) for shard in range(shards)]
        train = [taught[np.sort(drawn)] for drawn in draws]
    else:
        train = slices(taught, shards, chance(seed, "train"))
    return Dealt(
        train,
        slices(for_valid, shards, chance(seed, "valid slices")),
        slices(for_test, shards, chance(seed, "test slices")),
        taught,
        returned,
    )


def slices(rows: Rows, number: int, generator: np.random.Generator) -> list[Rows]:
    """Scramble rows and cut them into slices of one size, or one less."""
    return [np.sort(part) for part in np.array_split(generator.permutation(rows), number)]


def in_one_shard_only(y: NDArray[Any], train: Sequence[Rows], classes: int) -> list[int]:
    """The classes of which all training rows are in one of several shards."""
    if len(train) < 2:
        return []
    having = np.sum([np.bincount(y[rows], minlength=classes) > 0 for rows in train], axis=0)
    return np.flatnonzero(having == 1).tolist()
