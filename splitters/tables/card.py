"""The card: what a net and its report need to know of the data, as JSON types."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from splitters.tables.shares import Shares

FORMAT = 1


class Card(TypedDict):
    """The first item of a split table. Means and stds are those of the training rows; a constant column's std is 1."""

    format: int
    """``FORMAT``."""
    source: Literal["table", "arrays", "pictures"]
    """CSV, or npz of columns; npz with ``X``; a folder of pictures."""
    task: Literal["classification", "regression"]
    target: str | None
    """The name of the target column or array; None for pictures."""
    classes: list[str]
    """``y`` counts them from 0. Empty for regression."""
    target_scale: Scale | None
    """Regression: ``y`` is ``(number - mean) / std``, so an error in the numbers' own unit is ``std`` times that of
    ``y``. None for classification."""
    input_shape: list[int]
    """The shape of a row of ``X``: [columns]; [steps, features] or [height, width] where the array had three
    dimensions; [channels, height, width]."""
    dtype: Literal["float32", "uint8"]
    """Of ``X``."""
    outputs: int
    """Width of a net's last layer: the number of classes; 1 for regression."""
    columns: list[dict[str, Any]]
    """Of a table, in the order of the source; empty for others.

    ``{"name", "kind": "number", "mean", "std"}`` is one column of ``X``: ``(number - mean) / std``, 0 where it is
    missing.
    ``{"name", "kind": "category", "values": [...]}`` is a column of ``X`` for each of the values: 1 for rows that have
    it, else 0. None among the values stands for a missing one, and for a value that is not among them; without None
    such rows are 0 in all.
    """
    scaling: Scaling | None
    """Of arrays and pictures; None for a table. A missing number is the mean."""
    picture: dict[str, Any] | None
    """Where ``input_shape`` has channels: ``{"width", "height", "grey"}``; else None."""
    rows: dict[str, int]
    """How many rows are for "train", "valid" and "test"."""
    class_rows: dict[str, list[int]]
    """How many of these are of each class; empty for regression."""
    shards: int
    """How many shards follow."""
    shard_rows: list[int]
    """Training rows of each shard."""
    baseline: dict[str, Any] | None
    """How good one answer for all rows is, by the test rows; by the validation rows where there are no test rows; None
    without both.

    ``{"always": class, "accuracy": share}`` for the class that most training rows have; ``{"always": number, "rmse":
    number}`` for their mean, both in the numbers' own unit.
    """
    seed: int
    """The rows were scrambled with it."""
    notes: list[str]
    """Sentences for the person who submitted the run."""
    shares: NotRequired[Shares]
    """Of an ensemble."""


class Scale(TypedDict):
    """How numbers were brought to a mean of 0 and a standard deviation of 1."""

    mean: float
    std: float


class Scaling(TypedDict):
    """How arrays are brought to a mean of 0 and a standard deviation of 1 at each place of an axis of ``X``."""

    axis: int
    """0 is the rows, so 1 or more."""
    mean: list[float]
    std: list[float]
