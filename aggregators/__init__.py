"""Aggregators join the parts of a run; one module for each way to join.

An aggregator is a plain function ``(parts: Iterable[T]) -> T`` that gives the same for parts in any
order and grouping, since nodes aggregate some parts while others are still being made. A part is made of
what MessagePack carries: None, bool, int, float, str, bytes, lists, and dicts with such keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Model(NamedTuple):
    """What a job finishes with whose result is to become a new version of a bundle."""

    files: Mapping[str, bytes]
    """Name -> content. Data only, no pickle."""

    parameters: Mapping[str, Any]
    """What a task reads in ``bundle.json``; as JSON has it."""

    report: Mapping[str, Any]
    """What to tell who ordered it; as JSON has it."""
