"""Which sub-models there are, and their parameters: ``rf:trees=200,depth=12``.

Imports no library, so that a machine that only submits can check what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

BOTH = ("classification", "regression")
MOST_TEXT = 200
MOST_DEPTH = 512
"""Questions from the root of a tree to a leaf; also where no depth is asked for."""
MOST_LAYERS = 8


class Parameter(NamedTuple):
    """A parameter of a kind."""

    default: Any
    read: Callable[[str], Any]
    """Raises ValueError, with the values that are allowed as its text."""
    about: str


class Kind(NamedTuple):
    """A kind of sub-model."""

    about: str
    tasks: tuple[str, ...]
    parameters: Mapping[str, Parameter]


class Spec(NamedTuple):
    """A sub-model that was asked for."""

    kind: str
    parameters: tuple[tuple[str, Any], ...]
    """All of the kind, in the order of its table; those that were not given have their default."""

    def __str__(self) -> str:
        defaults = KINDS[self.kind].parameters
        told = [f"{name}={_shown(value)}" for name, value in self.parameters if value != defaults[name].default]
        return f"{self.kind}:{','.join(told)}" if told else self.kind

    def get(self, name: str) -> Any:
        """Return the value of a parameter."""
        return dict(self.parameters)[name]


def parse(text: str) -> Spec:
    """Read ``kind`` or ``kind:name=value,name=value``.

    Raises:
        ValueError: There is no such kind or parameter, or a value is out of its range; lists what there is.
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"a sub-model is told in at most {MOST_TEXT} characters, and this one has {len(text):,}")
    name, colon, rest = (each.strip() for each in text.partition(":"))
    if name not in KINDS:
        raise ValueError(f"there is no sub-model {name!r}; choose from {', '.join(KINDS)}")
    table = KINDS[name].parameters
    given: dict[str, Any] = {}
    for pair in rest.split(",") if colon else []:
        key, equals, value = (each.strip() for each in pair.partition("="))
        if not equals or key not in table:
            raise ValueError(f"{name} has no parameter {pair.strip()!r}; it takes {_listed(table)}")
        if key in given:
            raise ValueError(f"{text!r} gives {key} twice")
        try:
            given[key] = table[key].read(value)
        except ValueError as error:
            raise ValueError(f"{key} of {name} is {value!r}; it must be {error}") from None
    return Spec(name, tuple((key, given.get(key, each.default)) for key, each in table.items()))


def check(spec: Spec, task: str) -> None:
    """Say that a sub-model is not for a task, "classification" or "regression".

    Raises:
        ValueError: It is not; lists those that are.
    """
    if task not in KINDS[spec.kind].tasks:
        able = ", ".join(name for name, kind in KINDS.items() if task in kind.tasks)
        raise ValueError(f"{spec.kind} is for {KINDS[spec.kind].tasks[0]}, and this is {task}; choose from {able}")


def _listed(table: Mapping[str, Parameter]) -> str:
    return ", ".join(f"{name} ({each.about}; {_shown(each.default)})" for name, each in table.items())


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    return "none" if value is None else str(value)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most:,}")
        return int(text)

    return read


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return value

    return read


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split("x")
    if len(parts) > MOST_LAYERS or not all(each.isascii() and each.isdigit() and len(each) < 5 for each in parts):
        raise ValueError(f"the units of 1 to {MOST_LAYERS} layers, as 128 or 128x64")
    sizes = tuple(map(int, parts))
    if not all(sizes):
        raise ValueError("at least 1 unit in each layer")
    return sizes


DEPTH = Parameter(None, _whole(1, MOST_DEPTH), "most questions from root to leaf")
LEAF = Parameter(1, _whole(1, 10**6), "fewest rows of a leaf")
FEATURES = Parameter(None, _number(0.001, 1), "share of the columns for a question; else their root, for numbers all")
FOREST = {"trees": Parameter(100, _whole(1, 5000), "how many"), "depth": DEPTH, "leaf": LEAF, "features": FEATURES}

KINDS: Mapping[str, Kind] = {
    "rf": Kind("random forest", BOTH, FOREST),
    "et": Kind("extremely randomised trees", BOTH, FOREST),
    "hgb": Kind(
        "gradient boosting over histograms", BOTH,
        {
            "trees": Parameter(100, _whole(1, 5000), "how many, for each class"),
            "rate": Parameter(0.1, _number(1e-4, 1), "learning rate"),
            "leaves": Parameter(31, _whole(2, 4096), "most leaves of a tree"),
            "depth": DEPTH,
            "leaf": LEAF._replace(default=20),
            "l2": Parameter(0.0, _number(0, 1e6), "regularisation"),
        },
    ),
    "mlp": Kind(
        "network", BOTH,
        {
            "units": Parameter((128,), _sizes, "of each layer, as 128x64"),
            "epochs": Parameter(60, _whole(1, 10_000), "most passes over the rows"),
            "rate": Parameter(0.001, _number(1e-6, 1), "learning rate"),
            "l2": Parameter(0.0001, _number(0, 1e6), "regularisation"),
        },
    ),
    "logreg": Kind(
        "logistic regression", ("classification",),
        {
            "c": Parameter(1.0, _number(1e-6, 1e6), "inverse of the regularisation"),
            "iterations": Parameter(300, _whole(1, 100_000), "most steps of the solver"),
        },
    ),
    "ridge": Kind(
        "linear regression", ("regression",), {"l2": Parameter(1.0, _number(0, 1e9), "regularisation")}
    ),
    "tree": Kind("one decision tree", BOTH, {"depth": DEPTH, "leaf": LEAF}),
}  # fmt: skip
