"""Aggregators join the parts of a run; one module for each way to join.

An aggregator is a plain function ``(parts: Iterable[T]) -> T`` that gives the same for parts in any
order and grouping, since nodes fold some parts while others are still being made. A part is made of
what MessagePack carries: None, bool, int, float, str, bytes, lists, and dicts with such keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Model(NamedTuple):
    """A result that is to become a version of a bundle."""

    files: Mapping[str, bytes]
    """Path below the bundle's folder -> its bytes; data, never code."""
    parameters: Mapping[str, Any]
    """For its ``bundle.json``, made of what JSON carries."""
    report: Mapping[str, Any]
    """What to tell whoever asked for it, made of what JSON carries."""
