"""What a run says is on pictures: a table, a histogram of the labels, and the least sure ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from cluster.client.run import Run, Status
from cluster.web import laid_over
from cluster.web.kept import Kept
from cluster.web.routes import Asked

if TYPE_CHECKING:
    from cluster.web.results import Query

BARS = 30
MOST_ROWS = 60
"""Of a page of the table: each has a thumbnail."""
TENTHS = 10
SORTS = {"unsure": "least sure first", "sure": "surest first", "name": "by name"}
"""``sort`` of the query, the first one by default."""
_kept: Kept[list[Labelled]] = Kept(3)


class Guess(BaseModel):
    """A label, and how sure it is."""

    label: str
    confidence: float


class Labelled(NamedTuple):
    """A picture, in the order of the input."""

    item: str
    guesses: tuple[tuple[str, float], ...]
    """The likeliest first."""

    @property
    def first(self) -> tuple[str, float]:
        return self.guesses[0] if self.guesses else ("", 0.0)


class LabelRow(BaseModel):
    """A picture with its labels."""

    item: str
    guesses: list[Guess]


class Bar(BaseModel):
    """How many pictures have a label first; or a confidence in a tenth."""

    name: str
    pictures: int
    length: float
    """1 of the longest."""


class PictureLabels(BaseModel):
    """What a run says is on its pictures."""

    label: str
    """``show`` of the query: only pictures with this label first."""
    sort: str
    after: int
    """Pictures that are passed over before ``rows``."""
    most: int
    """Pictures that ``rows`` has at most."""
    pictures: int
    """In the run."""
    matching: int
    """Pictures that are looked for."""
    labels: int
    """Different ones that come first."""
    bars: list[Bar]
    """The labels of most pictures."""
    tenths: list[Bar]
    """Pictures by confidence of their first label."""
    rows: list[LabelRow]


def show(asked: Asked, run: Run, status: Status) -> PictureLabels | None:
    """The labels of the pictures of a run; None as long as it goes on.

    Raises:
        errors.ClusterError: It has no result.
    """
    if status.state == "running":
        return None
    followers = asked.web.followers.of(run.id)

    def made() -> list[Labelled]:
        laid = laid_over.values(run, followers) if followers else {}
        return read(laid_over.parts(run.parts(), laid))

    return shown(_kept.get(run.id, made), asked.query)


def read(parts: Iterable[Mapping[str, Any]]) -> list[Labelled]:
    """The labels in the parts of a run."""
    return [
        Labelled(item, tuple((str(one["label"]), float(one["confidence"])) for one in found))
        for part in parts
        for item, found in part.items()
    ]


def shown(labelled: list[Labelled], query: Query) -> PictureLabels:
    """What is shown of them."""
    looked_for, sort = query.q.casefold(), query.sort if query.sort in SORTS else next(iter(SORTS))
    found = [
        one
        for one in labelled
        if (not looked_for or looked_for in one.item.casefold()) and (not query.show or one.first[0] == query.show)
    ]
    match sort:
        case "unsure":
            found.sort(key=lambda one: one.first[1])
        case "sure":
            found.sort(key=lambda one: -one.first[1])
        case _:
            found.sort(key=lambda one: one.item)
    most = min(query.most, MOST_ROWS)
    by_label = Counter(one.first[0] for one in labelled)
    return PictureLabels(
        label=query.show, sort=sort, after=query.after, most=most, pictures=len(labelled), matching=len(found),
        labels=len(by_label), bars=_bars(by_label.most_common(BARS)), tenths=_tenths(labelled),
        rows=[
            LabelRow(item=one.item, guesses=[Guess(label=label, confidence=sure) for label, sure in one.guesses])
            for one in found[query.after : query.after + most]
        ],
    )  # fmt: skip


def _tenths(labelled: list[Labelled]) -> list[Bar]:
    by_tenth = Counter(min(TENTHS - 1, int(one.first[1] * TENTHS)) for one in labelled)
    return _bars([(f"{at / TENTHS:.1f} to {(at + 1) / TENTHS:.1f}", by_tenth[at]) for at in range(TENTHS)])


def _bars(numbers: Iterable[tuple[str, int]]) -> list[Bar]:
    numbers = list(numbers)
    longest = max((number for _, number in numbers), default=0) or 1
    return [Bar(name=name, pictures=number, length=number / longest) for name, number in numbers]
