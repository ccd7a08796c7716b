"""What a trained model is worth, from the parameters of its bundle: scores, and which classes it confuses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from cluster import logs

SCORES = ("accuracy", "balanced_accuracy", "rmse", "r2")
"""In this order, as far as the rows that a model was measured on have them."""
SETS = ("test", "valid")
METRICS = "metrics"
LONG = (METRICS, "curve")
"""Parameters that are not printed as JSON."""
MOST_CLASSES = 30
"""Of more classes the table of confusions would be wider than any terminal."""
MOST_PAIRS = 10
LABEL_CHARS = 8


def lines(parameters: Mapping[str, Any]) -> list[str]:
    """Lines about the scores, then the confusion matrix of the test rows; none for a model that has no scores."""
    metrics = parameters.get(METRICS)
    if not isinstance(metrics, Mapping):
        return []
    told = [line for name in SETS if (line := _scores(name, metrics.get(name)))]
    test = metrics.get("test")
    matrix = test.get("confusion") if isinstance(test, Mapping) else None
    classes = parameters.get("classes")
    if _is_square(matrix) and isinstance(classes, list) and len(classes) == len(matrix):
        told += confusion([logs.plain(str(name)) for name in classes], matrix)
    return told


def _scores(name: str, found: Any) -> str:
    if not isinstance(found, Mapping):
        return ""
    scores = [
        f"{score.replace('_', ' ')} {found[score]:.4f}" for score in SCORES if isinstance(found.get(score), int | float)
    ]
    rows = f" on {found['rows']:,} rows" if isinstance(found.get("rows"), int) else ""
    return f"{name:12} {', '.join(scores)}{rows}" if scores else ""


def confusion(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[str]:
    """The confusion matrix, ``matrix[true][said]``, as a table; of many classes the pairs confused most often."""
    if len(classes) > MOST_CLASSES:
        return list(confused(classes, matrix))
    labels = [name if len(name) <= LABEL_CHARS else f"{name[: LABEL_CHARS - 1]}…" for name in classes]
    width = max(len(word) for word in (*labels, *(str(number) for row in matrix for number in row)))
    begin = max(len(label) for label in labels)
    head = " ".join(label.rjust(width) for label in labels)
    return [
        "confusion    a row for each true class, a column for each answer",
        f"  {'':{begin}} {head}",
        *(
            f"  {label:{begin}} {' '.join((str(number) if number else '.').rjust(width) for number in row)}"
            for label, row in zip(labels, matrix, strict=True)
        ),
    ]


def confused(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> Iterator[str]:
    """The pairs of classes that are confused most often, a line each."""
    pairs = [
        (number, true, said)
        for true, row in enumerate(matrix)
        for said, number in enumerate(row)
        if number and true != said
    ]
    yield f"confusion    {len(classes)} classes; confused most often:"
    for number, true, said in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:MOST_PAIRS]:
        yield f"  {classes[true]} taken for {classes[said]}: {number} of {sum(matrix[true])}"


def readable(parameters: Mapping[str, Any]) -> str:
    """The other parameters as JSON: a line for each name, whatever its list holds."""
    return _json({name: value for name, value in parameters.items() if name not in LONG}, "")


def _json(value: Any, pad: str) -> str:
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value)
    inner = f"{pad}  "
    fields = ",\n".join(f"{inner}{json.dumps(name)}: {_json(one, inner)}" for name, one in value.items())
    return f"{{\n{fields}\n{pad}}}"


def _is_square(matrix: Any) -> TypeGuard[list[list[int]]]:
    return isinstance(matrix, list) and all(
        isinstance(row, list) and len(row) == len(matrix) and all(isinstance(number, int) for number in row)
        for row in matrix
    )
