"""Lines over the rounds of a training, ready to be drawn as SVG. Pages and live data have them from here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel

WIDTH, HEIGHT = 560, 150
"""Of the drawing, in the units of its ``viewBox``."""
LEFT, BOTTOM, TOP = 48, 18, 6
"""Room for the numbers at the axes, and above the line."""
COLUMNS = 300
"""A line of more points shows the lowest and the highest of each column."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Tick(BaseModel):
    """A number at the upright axis."""

    at: float
    """How far from the top."""
    text: str


class Chart(BaseModel):
    """A line."""

    name: str
    """What it shows, as "loss"."""
    points: str
    """As the attribute ``points`` of an SVG polyline."""
    ticks: list[Tick]
    first: str
    """The first round, at the left end."""
    last: str
    now: str
    """The last value."""


def chart(name: str, values: Sequence[tuple[int, float]]) -> Chart:
    """Draw a line.

    Args:
        name: What it shows.
        values: Round and value, by round; at least one. A value may be endless or no number: it leaves a gap.
    """
    known = [(round_, value) for round_, value in values if math.isfinite(value)]
    low, high = min((value for _, value in known), default=0.0), max((value for _, value in known), default=1.0)
    step = _step(high - low or abs(high) or 1.0)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    if low == high:
        high += step
    first, last = values[0][0], values[-1][0]

    def x(round_: int) -> float:
        return LEFT + (WIDTH - LEFT) * (round_ - first) / max(1, last - first)

    def y(value: float) -> float:
        return TOP + (HEIGHT - BOTTOM - TOP) * (high - value) / (high - low)

    return Chart(
        name=name,
        points=" ".join(f"{x(round_):.1f},{y(value):.1f}" for round_, value in _thinned(known)),
        ticks=[Tick(at=round(y(at), 1), text=f"{at:.6g}") for at in _ticks(low, high, step)],
        first=str(first),
        last=str(last),
        now=figure(values[-1][1]),
    )


def figure(value: float) -> str:
    """A value in about five characters."""
    if not math.isfinite(value) or abs(value) >= 1e5:
        return f"{value:.4g}"
    return f"{value:.{max(0, 4 - len(str(int(abs(value)))))}f}"


def _step(span: float) -> float:
    """A round number of which two to four fit into that span."""
    power = 10.0 ** math.floor(math.log10(span / 3))
    return next(power * step for step in STEPS if span / (power * step) <= 4)


def _ticks(low: float, high: float, step: float) -> list[float]:
    count = round((high - low) / step)
    return [round(low + number * step, 12) for number in range(count + 1)]


def _thinned(values: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    if len(values) <= 2 * COLUMNS:
        return list(values)
    found = []
    each = len(values) / COLUMNS
    for column in range(COLUMNS):
        part = values[int(column * each) : int((column + 1) * each)]
        ends = {min(part, key=lambda one: one[1]), max(part, key=lambda one: one[1])}
        found += sorted(ends)
    return found
