"""What a trained model is worth, as tables: from the report of the run that made it, or from its bundle's parameters.

Anybody may have written a bundle or a report, so each part of one is shown if it has the form that is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from cluster import errors, texts
from cluster.client.run import Run, Status
from cluster.texts import worth_texts
from cluster.web import publishing
from cluster.web.problems import Problem
from cluster.web.routes import Asked

MOST_CLASSES = 60
"""Of more classes the page shows the pairs that are confused most often."""
MOST_SUB_MODELS = 300
SETS = (("test", "test rows"), ("valid", "validation rows"))
NUMBERS = int | float


class Score(BaseModel):
    """How good a model is on some rows."""

    on: str
    """As "test rows"."""
    rows: int | None
    scores: dict[str, float]
    """Such as accuracy, rmse."""


class Pair(BaseModel):
    """A class that was taken for another one."""

    true: str
    said: str
    times: int
    of: int
    """How many rows have the true class."""


class Confusion(BaseModel):
    """How often each class was said of the test rows of each class."""

    classes: list[str]
    table: list[list[int]]
    """``[true][said]``; empty of more classes than a page has room for."""
    pairs: list[Pair]
    """Those confused most often."""


class SubModel(BaseModel):
    """A part of an ensemble."""

    kind: str
    part: str
    rows: int | None
    node: str
    seconds: float | None
    valid: float | None
    """Its score on the validation rows."""
    why: str = ""
    """Why it is missing; "" of one that is there."""


class Report(BaseModel):
    """What a model is worth, and how it was made; what is not known of it is empty."""

    model: str = ""
    """As "letters:3"."""
    based_on: str = ""
    scores: list[Score] = []
    confusion: Confusion | None = None
    combined_by: str = ""
    """How the sub-models of an ensemble were joined."""
    combiners: dict[str, float] = {}
    """Each way that was tried -> its score on the validation rows."""
    sub_models: list[SubModel] = []
    people: dict[str, int] = {}
    """Person -> pictures that the model was trained with."""
    threshold: float | None = None
    """How sure a face is named from."""
    self_check: dict[str, float] = {}
    """Of 1: "named_rightly", "strangers_named" and more."""
    left_out: dict[str, str] = {}
    """Picture -> why it was not used."""
    costs: list[str] = []
    notes: list[str] = []
    is_published: bool = True
    """Whether the model has become a version of its bundle."""
    refused: str = ""
    """Why the one who asks may not publish it; "" where they may, or it is published."""

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing more to come."""
        return self.is_published


def show(asked: Asked, run: Run, status: Status) -> Report | None:
    """The report about what a run has trained, as ``results.KINDS`` has it; None while the run goes on."""
    if status.state == "running":
        return None
    found = run.report
    if found is not None:
        return of(found, found.get("classes") or _classes(asked, found.get("model")))
    try:
        publishing.require_may_publish(asked, run, status)
    except Problem as refused:
        return Report(is_published=False, refused=refused.text)
    return Report(is_published=False)


def _classes(asked: Asked, model: object) -> object:
    """The names of the classes as the model has them, as long as it is there: the report of a net counts them."""
    try:
        return asked.web.client.models.get(_text(model)).parameters.get("classes") if model else None
    except errors.ClusterError:
        return None


def of_parameters(parameters: Mapping[str, Any]) -> Report:
    """What the bundle of a trained model tells of it."""
    metrics = parameters.get(worth_texts.METRICS)
    told = parameters.get("trained")
    found = {**(told if isinstance(told, Mapping) else {}), **parameters}
    return of({**found, **(metrics if isinstance(metrics, Mapping) else {})}, parameters.get("classes"))


def of(found: Mapping[str, Any], classes: object = None) -> Report:
    """A report as tables.

    Args:
        found: What ``Run.report`` gives, or parameters of a bundle with the scores among them.
        classes: The names of the classes, if they are known.
    """
    self_check = found.get("self_check")
    notes = found.get("notes")
    return Report(
        model=_text(found.get("model")),
        based_on=_text(found.get("based_on")),
        scores=[*_scores(found)],
        confusion=_confusion(found, classes),
        **_combined(found),
        sub_models=[*_sub_models(found)],
        people={str(name): count for name, count in _mapping(found.get("people")).items() if _is_count(count)},
        threshold=_number(found.get("threshold")),
        self_check={name: float(share) for name, share in _mapping(self_check).items() if _number(share) is not None},
        left_out={str(name): str(why) for name, why in _mapping(found.get("left_out")).items()},
        costs=_costs(found),
        notes=[str(note) for note in notes] if isinstance(notes, list) else [],
    )


def _scores(found: Mapping[str, Any]) -> Iterator[Score]:
    for name, on in SETS:
        if score := _score(on, _mapping(found.get(name))):
            yield score
    baseline = _mapping(found.get("baseline"))
    if score := _score(f"always said: {baseline.get('always')}", baseline):
        yield score


def _score(on: str, found: Mapping[str, Any]) -> Score | None:
    scores = {name: float(found[name]) for name in worth_texts.SCORES if _number(found.get(name)) is not None}
    rows = found.get("rows")
    return Score(on=on, rows=rows if _is_count(rows) else None, scores=scores) if scores else None


def _confusion(found: Mapping[str, Any], classes: object) -> Confusion | None:
    """The table of the test rows; where a report does not name the classes they are counted from 0."""
    matrix = _mapping(found.get("test")).get("confusion")
    if not worth_texts.is_square(matrix) or not matrix:
        return None
    named = isinstance(classes, list) and len(classes) == len(matrix)
    names = [str(name) for name in classes] if named and isinstance(classes, list) else [*map(str, range(len(matrix)))]
    pairs = [
        Pair(true=names[true], said=names[said], times=times, of=sum(matrix[true]))
        for times, true, said in worth_texts.pairs(matrix)
    ]
    return Confusion(classes=names, table=matrix if len(matrix) <= MOST_CLASSES else [], pairs=pairs)


def _combined(found: Mapping[str, Any]) -> dict[str, Any]:
    combine = _mapping(found.get("combine"))
    tried = _mapping(combine.get("validation"))
    return {
        "combined_by": _text(combine.get("chosen")),
        "combiners": {str(how): float(score) for how, score in tried.items() if _number(score) is not None},
    }


def _sub_models(found: Mapping[str, Any]) -> Iterator[SubModel]:
    for key in ("sub_models", "missing"):
        listed = found.get(key)
        for each in listed[:MOST_SUB_MODELS] if isinstance(listed, list) else ():
            if isinstance(each, Mapping):
                rows = each.get("rows")
                yield SubModel(
                    kind=_text(each.get("kind")), part=str(each.get("part", "")), node=_text(each.get("node")),
                    rows=rows if _is_count(rows) else None, seconds=_number(each.get("seconds")),
                    valid=_number(each.get("valid")), why=_text(each.get("why")),
                )  # fmt: skip


def _costs(found: Mapping[str, Any]) -> list[str]:
    try:
        told = [*worth_texts.costs(found)]
    except (KeyError, TypeError, ValueError):  # it is of another form
        told = []
    if (seconds := _number(found.get("seconds"))) is not None:
        nodes = _mapping(found.get("nodes"))
        where = f" on {texts.count(len(nodes), 'node')}" if nodes else ""
        told.insert(0, f"trained in {texts.duration(seconds)}{where}")
    return told


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _text(found: object) -> str:
    return found if isinstance(found, str) else ""


def _number(found: object) -> float | None:
    return float(found) if isinstance(found, NUMBERS) and not isinstance(found, bool) else None


def _is_count(found: object) -> bool:
    return isinstance(found, int) and not isinstance(found, bool)
