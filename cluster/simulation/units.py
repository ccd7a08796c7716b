"""Quantities with their units, as a network file writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

SECONDS: Mapping[str, float] = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
BYTES: Mapping[str, float] = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
BYTES_S: Mapping[str, float] = {
    **{f"{unit}b/s": factor / 8 for unit, factor in (("", 1), ("k", 1e3), ("M", 1e6), ("G", 1e9))},
    **{f"{unit}/s": factor for unit, factor in BYTES.items()},
}
"""A small b is a bit, as those write it who sell lines; a large one a byte."""
NUMBER = r"\d+(?:\.\d*)?|\.\d+"


def seconds(given: Any) -> float:
    """``"40 ms"`` -> 0.04.

    Raises:
        ValueError: It is no time.
    """
    return _quantity(given, SECONDS, "a time, such as '40 ms'")


def size_bytes(given: Any) -> int:
    """``"4 MB"`` -> 4,000,000.

    Raises:
        ValueError: It is no size.
    """
    return round(_quantity(given, BYTES, "a size, such as '4 MB'"))


def bytes_s(given: Any) -> float:
    """``"10 Mb/s"`` -> 1,250,000.

    Raises:
        ValueError: It is no bandwidth, or nothing gets through.
    """
    found = _quantity(given, BYTES_S, "a bandwidth, such as '10 Mb/s'")
    if not found:
        raise ValueError(f"is {given!r}: nothing would ever get through")
    return found


def step_s(given: Any) -> float:
    """``"10 ms/step"`` -> 0.01.

    Raises:
        ValueError: It is no time of a step.
    """
    text = given.strip() if isinstance(given, str) else ""
    if not text.endswith("/step"):
        raise ValueError(f"is {given!r}; it must be the time of a step, such as '10 ms/step'")
    return seconds(text.removesuffix("/step"))


def share(given: Any, suffix: str = "") -> float:
    """``"10 % per round"`` with the suffix "per round", ``"10 %"`` or ``0.1`` -> 0.1.

    Raises:
        ValueError: It is no share from 0 to 1.
    """
    wanted = f"'10 % {suffix}'".replace(" '", "'")
    if isinstance(given, str):
        found = re.fullmatch(rf"\s*({NUMBER})\s*(%?)\s*(?:{re.escape(suffix)})?\s*", given)
        value = float(found[1]) / (100 if found[2] else 1) if found else math.nan
    else:
        value = float(given) if isinstance(given, int | float) and not isinstance(given, bool) else math.nan
    if not 0 <= value <= 1:
        raise ValueError(f"is {given!r}; it must be a share, such as {wanted} or 0.1")
    return value


def span_s(given: Any) -> tuple[float, float]:
    """``"uniform 0..20 s"`` -> (0.0, 20.0); ``"5 s"`` -> (5.0, 5.0).

    Raises:
        ValueError: It is neither.
    """
    found = (
        re.fullmatch(rf"\s*uniform\s+({NUMBER})\s*\.\.\s*({NUMBER})\s*(\w+)\s*", given)
        if isinstance(given, str)
        else None
    )
    if found is None:
        try:
            return (seconds(given),) * 2
        except ValueError:
            raise ValueError(f"is {given!r}; it must be a time: '5 s', or 'uniform 0..20 s'") from None
    low, high = (seconds(f"{found[number]} {found[3]}") for number in (1, 2))
    if low > high:
        raise ValueError(f"is {given!r}: it ends before it begins")
    return low, high


def _quantity(given: Any, units: Mapping[str, float], what: str) -> float:
    found = re.fullmatch(rf"\s*({NUMBER})\s*(\S+)\s*", given) if isinstance(given, str) else None
    if found is None or found[2] not in units:
        raise ValueError(f"is {given!r}; it must be {what}, with one of the units {', '.join(units)}")
    return float(found[1]) * units[found[2]]
