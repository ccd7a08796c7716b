"""What a trained model is worth, from the parameters of its bundle: scores, and which classes it confuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from cluster import logs, texts
from cluster.client import Run
from cluster.client.result import readable_json

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
    told = [f"{name:12} {scores}" for name in SETS if (scores := _scores(metrics.get(name)))]
    test = metrics.get("test")
    matrix = test.get("confusion") if isinstance(test, Mapping) else None
    classes = parameters.get("classes")
    if is_square(matrix) and isinstance(classes, list) and len(classes) == len(matrix):
        told += confusion([logs.plain(str(name)) for name in classes], matrix)
    return told


def score(parameters: Mapping[str, Any]) -> str:
    """The scores of a trained model in a few words, "accuracy 0.9512 on 4,000 rows"; "" where there are none."""
    metrics = parameters.get(METRICS)
    if not isinstance(metrics, Mapping):
        return ""
    return next((told for name in SETS if (told := _scores(metrics.get(name)))), "")


def of_run(run: Run) -> list[str]:
    """``report`` of what a run that is done has trained; nothing about a run that trains nothing."""
    return report(run.result()) if run.job.trains else []


def report(found: Mapping[str, Any]) -> list[str]:
    """What a run in rounds has trained, and what that took; nothing about the report of another job."""
    name = next((name for name in SETS if _scores(found.get(name))), None)
    if name is None:
        return []
    told = f"{found['model']}: {name} {_scores(found[name])}"
    baseline = found.get("baseline") or {}
    if scores := _scores(baseline):
        always = baseline.get("always")
        told += f" (always {f'{always:.6g}' if isinstance(always, float) else always}: {scores})"
    if found.get("best_round") is not None and found.get("mode") != "async":  # there it counts parts
        told += f"; the best weights came after {found['best_round']} of {texts.count(found['rounds'], 'round')}"
    notes = found.get("notes") or ()
    return [logs.plain(line) for line in (told, *_combined(found), *costs(found), *(f"note: {note}" for note in notes))]


def _combined(found: Mapping[str, Any]) -> Iterator[str]:
    """How the sub-models of an ensemble were joined, and how good each way was."""
    combine, sub_models = found.get("combine"), found.get("sub_models")
    if not isinstance(combine, Mapping) or not isinstance(sub_models, list):
        return
    tried = ", ".join(f"{how} {score:.4f}" for how, score in combine["validation"].items())
    line = f"{texts.count(len(sub_models), 'sub-model')} joined by {combine['chosen']}"
    yield f"{line} (on validation rows: {tried})" if tried else line


def costs(found: Mapping[str, Any]) -> Iterator[str]:
    """A line about bytes and late parts; nothing of a report without them."""
    traffic = found.get("traffic")
    if not isinstance(traffic, Mapping):
        return
    line = f"up {texts.size(traffic['up_bytes'])}, down {texts.size(traffic['down_bytes'])}"
    if share := traffic.get("share_of_sync_fp32"):
        line += f": {100 * share:.2g} % of synchronous training"
    late = f"{texts.count(found['late'], 'part')} late, of which {found['lost']} lost"
    yield f"{line}; {late}; {found['rejected']} rejected"


def _scores(found: Any) -> str:
    """``accuracy 0.9512 on 4,000 rows``; "" where there are none."""
    if not isinstance(found, Mapping):
        return ""
    scores = [
        f"{score.replace('_', ' ')} {found[score]:.4f}" for score in SCORES if isinstance(found.get(score), int | float)
    ]
    rows = f" on {found['rows']:,} rows" if isinstance(found.get("rows"), int) else ""
    return f"{', '.join(scores)}{rows}" if scores else ""


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
    yield f"confusion    {len(classes)} classes; confused most often:"
    for number, true, said in pairs(matrix):
        yield f"  {classes[true]} taken for {classes[said]}: {number} of {sum(matrix[true])}"


def pairs(matrix: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """How often, the true class and the one that was said, of the pairs that are confused most often."""
    found = [
        (number, true, said)
        for true, row in enumerate(matrix)
        for said, number in enumerate(row)
        if number and true != said
    ]
    return sorted(found, key=lambda pair: (-pair[0], pair[1:]))[:MOST_PAIRS]


def others(parameters: Mapping[str, Any]) -> str:
    """The other parameters as JSON."""
    return readable_json({name: value for name, value in parameters.items() if name not in LONG})


def is_square(matrix: Any) -> TypeGuard[list[list[int]]]:
    """Whether something is a table of whole numbers with as many columns as rows."""
    return isinstance(matrix, list) and all(
        isinstance(row, list) and len(row) == len(matrix) and all(isinstance(number, int) for number in row)
        for row in matrix
    )
