"""Aggregators join the parts of a run; one module for each way to join.

An aggregator is a plain function ``(parts: Iterable[T]) -> T`` that gives the same for parts in any
order and grouping, since nodes aggregate some parts while others are still being made. A part is made of
what MessagePack carries: None, bool, int, float, str, bytes, lists, and dicts with such keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Model(NamedTuple):
    """The result of a job that trains: its run publishes it as a new version of a bundle."""

    files: Mapping[str, bytes]
    """Name -> content. Data only, no pickle."""

    parameters: Mapping[str, Any]
    """Parameters that tasks read in ``bundle.json``; only JSON types."""

    report: Mapping[str, Any]
    """Figures for the person who submitted the run; only JSON types."""
