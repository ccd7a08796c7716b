"""What shards hand in in each round, and whether it can be used: it comes from other machines.

| kind | field | what |
| --- | --- | --- |
| fit | model | the sub-model, as ``submodels.pack`` gives it |
| | rows, seconds, notes | what it was fitted on, how long that took, sentences for people |
| | problem | why there is no sub-model, "" where there is one |
| predict | scores, y | float32 (rows, models, outputs) of validation rows, and their targets |
| | stack, stack_y | the same of rows for a stack |
| combine | stacks | a list of strength, coefficients and intercepts, see ``Combiner`` |
| | problem | why a stack could not be fitted |
| test | sums | see ``figures`` |
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregators import Closed, submodels
from aggregators.ensemble import arrays, figures
from aggregators.ensemble.choice import STRENGTHS
from aggregators.ensemble.combiner import Combiner
from aggregators.ensemble.state import Card
from aggregators.submodels import spec

FIELDS: Mapping[str, Mapping[str, type]] = {
    "fit": {"model": bytes, "rows": int, "seconds": float, "notes": list, "problem": str},
    "predict": {"scores": bytes, "y": bytes, "stack": bytes, "stack_y": bytes},
    "combine": {"stacks": list, "problem": str},
    "test": {"sums": dict},
}
MOST_VALUES = 2**24
"""Numbers that the sub-models say of all rows of one kind: 64 MiB of float32."""
MOST_FEATURES = 2**21
"""Numbers that a stack is fitted on: more rows take long, and gain little."""
MOST_COEFFICIENTS = 2**18
"""Of a stack: they stand in the bundle as text."""

MOST_SCORE = 1e30
"""In absolute terms, of what a sub-model says: sums and squares of such numbers still are numbers. Targets are scaled,
so one that says more has diverged."""

MOST_NOTES = 20
MOST_CHARS = 2000
"""Of a note, or of why something could not be done: reports and events hold them."""


class Predicted(NamedTuple):
    """What sub-models say: float32 (rows, models, outputs), and the targets of these rows."""

    scores: NDArray[np.float32]
    y: NDArray[Any]
    stack: NDArray[np.float32]
    stack_y: NDArray[Any]


def check(value: Any, names: Collection[str] | None = None) -> None:
    """See that a value has the fields of its kind; what they hold is for the step.

    Raises:
        ValueError: It has not.
    """
    kind = value["kind"]
    if kind not in FIELDS:
        raise ValueError(f"its kind is {kind!r}")
    for name, wanted in FIELDS[kind].items():
        if type(value.get(name)) is not wanted:
            raise ValueError(f"its {name} is no {wanted.__name__}")
    if "problem" in FIELDS[kind] and len(value["problem"]) > MOST_CHARS:
        raise ValueError(f"its problem has {len(value['problem']):,} characters; the limit is {MOST_CHARS:,}")
    if kind == "fit" and not (
        len(value["notes"]) <= MOST_NOTES
        and all(isinstance(note, str) and len(note) <= MOST_CHARS for note in value["notes"])
        and 0 <= value["seconds"] < math.inf
        and 0 <= value["rows"] < 2**63
    ):
        raise ValueError("its notes, seconds or rows are none, or its notes are too many or too long")


def as_problem(error: Exception) -> str:
    """An error as the field ``problem``, cut off where it is too long."""
    return f"{type(error).__name__}: {error}"[:MOST_CHARS]


def kind_of(shard: int, card: Card) -> str:
    """The sub-model of a shard as it was asked for: ``rf:trees=200``."""
    shares = card["shares"]
    asked: str = shares["kinds"][shard // shares["parts"]]
    return asked


def part_of(shard: int, card: Card) -> int:
    """The part that the sub-model of a shard is fitted on."""
    number: int = shard % card["shares"]["parts"]
    return number


def name(shard: int, card: Card) -> str:
    """A sub-model by a name for people."""
    return f"{kind_of(shard, card)} of part {part_of(shard, card)}"


def model(part: Mapping[str, Any], kind: str, card: Card) -> submodels.SubModel:
    """The sub-model of a part.

    Raises:
        ValueError: It is none, or not the one that was asked for.
    """
    found = submodels.unpack(part["model"])
    if found.kind != spec.parse(kind).kind:
        raise ValueError(f"it is a sub-model of the kind {found.kind}, and {kind} was asked for")
    if found.outputs != card["outputs"]:
        raise ValueError(f"it is a sub-model with {found.outputs} outputs, and the data has {card['outputs']}")
    if found.about.width != card["input_shape"][0]:
        raise ValueError(f"it is a sub-model for rows of {found.about.width}, not of {card['input_shape'][0]} numbers")
    return found


def most_rows(models: int, card: Card) -> int:
    """Of how many rows of a slice sub-models tell."""
    return max(1, MOST_VALUES // (models * int(card["outputs"]) * int(card["shards"])))


def stack_problem(models: int, card: Card) -> str:
    """Why there can be no stack of so many sub-models, or ""."""
    coefficients = (models * int(card["outputs"]) + 1) * int(card["outputs"])
    if coefficients <= MOST_COEFFICIENTS:
        return ""
    most = f"over the limit of {MOST_COEFFICIENTS:,}"
    return f"a stack of {models} sub-models would have {coefficients:,} coefficients, {most}"


def most_stack_rows(models: int, card: Card) -> int:
    """Of how many rows of a slice sub-models tell for a stack; 0 where it would have too many coefficients."""
    if stack_problem(models, card):
        return 0
    return max(1, MOST_FEATURES // (models * int(card["outputs"]) * int(card["shards"])))


def all_predicted(closed: Closed, models: int, card: Card) -> tuple[list[Predicted], dict[int, str]]:
    """What can be used of the round "predict", and why each other part cannot."""
    found, rejected = [], {}
    kind = np.int32 if card["classes"] else np.float32
    for shard, part in closed.parts.items():
        try:
            scores, stack = (
                arrays.load(part[name], np.float32, (None, models, card["outputs"]), name)
                for name in ("scores", "stack")
            )
            y, stack_y = (arrays.load(part[name], kind, (None,), name) for name in ("y", "stack_y"))
            _check_rows(scores, y, most_rows(models, card), card)
            _check_rows(stack, stack_y, max(1, most_stack_rows(models, card)), card)
            found.append(Predicted(scores, y, stack, stack_y))
        except ValueError as error:
            rejected[shard] = str(error)
    return found, rejected


def _check_rows(scores: NDArray[Any], y: NDArray[Any], most: int, card: Card) -> None:
    if len(scores) != len(y) or len(y) > most:
        raise ValueError(f"it tells of {len(scores):,} rows with {len(y):,} targets; it may tell of {most:,}")
    if card["classes"] and len(y) and not 0 <= int(y.min()) <= int(y.max()) < card["outputs"]:
        raise ValueError("its targets are none of the classes")


def stacks(closed: Closed, models: int, card: Card) -> tuple[list[tuple[Combiner, float]], dict[int, str]]:
    """The stacks that can be used, each with its strength, and why the other parts cannot."""
    found: list[tuple[Combiner, float]] = []
    rejected = {}
    outputs = card["outputs"]
    for shard, part in closed.parts.items():
        try:
            if part["problem"]:
                raise ValueError(part["problem"])
            for strength, coefficients, intercepts in part["stacks"]:
                if strength not in STRENGTHS:
                    raise ValueError(f"it has a stack of the strength {strength!r}")
                shape = (outputs, models * outputs)
                found.append(
                    (
                        Combiner(
                            "stack", models, outputs,
                            coefficients=arrays.load(coefficients, np.float64, shape, "coefficients"),
                            intercepts=arrays.load(intercepts, np.float64, (outputs,), "intercepts"),
                        ),
                        strength,
                    )
                )  # fmt: skip
        except (ValueError, TypeError) as error:
            rejected[shard] = str(error)
    return found, rejected


def sums(closed: Closed, card: Card) -> tuple[list[Mapping[str, Any]], dict[int, str]]:
    """The sums of the round "test" that can be used, and why the other parts cannot."""
    found, rejected = [], {}
    for shard, part in closed.parts.items():
        try:
            figures.check(part["sums"], card["outputs"], is_classes=bool(card["classes"]))
            found.append(part["sums"])
        except ValueError as error:
            rejected[shard] = str(error)
    return found, rejected
