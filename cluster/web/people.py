"""People that bundles know, and the faces of runs that nobody knows yet: who is this?

What people say is kept until a version is trained of it, in the page's own folder. Descriptors and names stay on this
machine and in the cluster.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from aggregators.people_changes import Changes, write
from aggregators.recogniser import UNKNOWN
from cluster import errors
from cluster.roles import Role
from cluster.web import face_rows, people_asked, people_groups, people_known, people_training, results_faces
from cluster.web.decisions import Decision, Kind
from cluster.web.face_rows import Face
from cluster.web.people_groups import Group
from cluster.web.people_known import Known
from cluster.web.problems import Problem
from cluster.web.results_faces import FaceShown
from cluster.web.routes import Action, Asked, Route, View
from splitters import spool

GROUPS = 24
"""Groups on a page."""
OF_GROUP = 6
"""Faces of a group that are shown."""
OF_PERSON = 60
MOST_PERSON_CHARS = 100


class Bundle(BaseModel):
    """A bundle that knows people, or may come to."""

    name: str
    version: int
    """That runs get."""
    pinned: bool
    runs: int
    """Runs with descriptors that used it, of the latest ones."""


class Bundles(BaseModel):
    """The bundles of the job faces."""

    bundles: list[Bundle]
    run: str
    """The run that people are to be named in; "" for the latest."""


class RunOfFaces(BaseModel):
    """A run whose faces can be named."""

    run: str
    pictures: int
    model: str
    """The version that it knew people by; "" for none."""
    chosen: bool


class GroupShown(BaseModel):
    """Faces that are probably one person's."""

    faces: int
    pictures: int
    shown: list[FaceShown]
    """Some of them; the first one names the group."""
    suggestion: str
    """The known person that it may be; "" for none."""
    likeness: float
    """How sure that is, 0 to 0.5."""


class Person(BaseModel):
    """Somebody whom the bundle knows, or a run has named."""

    label: str
    learnt: int
    """Pictures that the bundle was trained of."""
    named: int
    """Faces in the chosen runs."""
    best: FaceShown | None


class Said(BaseModel):
    """What was said of faces, and no version is trained of yet."""

    kind: Kind
    person: str
    faces: int
    first: FaceShown
    by: str


class People(BaseModel):
    """A bundle's people, and the faces that nobody knows."""

    name: str
    version: int
    """That runs get; 0: there is none yet."""
    before: int
    """The version before; 0 for none."""
    next: int
    """The number that the next version gets."""
    may_train: bool
    """Whether one may train it: a version that all runs get is an operator's, the first one is anybody's."""
    pinned: bool
    problem: str
    threshold: float | None
    rejected: int
    runs: list[RunOfFaces]
    groups: list[GroupShown]
    after: int
    """Groups that are passed over before these."""
    of_groups: int
    unknown: int
    """Faces in all groups."""
    undescribed: int
    """Unknown faces of runs without descriptors: they cannot be grouped."""
    people: list[Person]
    person: str
    """The person whose faces are shown; "" for nobody."""
    faces: list[FaceShown]
    """Those."""
    said: list[Said]
    new_names: int
    """People in ``said`` who get a face."""
    training: list[str]
    """Runs that train a version now."""
    upload: str
    """The upload of the latest of the chosen runs, to look at its pictures again."""


class PeopleQuery(BaseModel):
    """Which runs and people."""

    run: str = Field("", max_length=2000)
    """Runs, with commas between; "": the latest."""
    person: str = Field("", max_length=MOST_PERSON_CHARS)
    """Show the faces of this person."""
    after: int = Field(0, ge=0, le=10**6)
    """Groups that are passed over."""


class Say(BaseModel):
    """What a face is, or all faces of its group."""

    kind: Literal["name", "not", "no face"]
    person: str = Field("", max_length=MOST_PERSON_CHARS)
    """Whose it is, or is not."""
    run: str
    item: str
    number: int
    of: int = 1
    """Faces that are meant: of more than one, those of the group that begins with this face."""
    runs: str = Field("", max_length=2000)
    """The runs that were chosen, with commas between: they make the groups."""


class TakeBack(BaseModel):
    """What is to be unsaid."""

    kind: Literal["name", "not", "no face"]
    person: str = Field("", max_length=MOST_PERSON_CHARS)


class Forget(BaseModel):
    """Whom to forget."""

    person: str = Field(max_length=MOST_PERSON_CHARS)


class Next(BaseModel):
    """The next version."""

    run: str
    """The run that trains it; "" where it is there already."""
    model: str
    """The version, where it is there already; else ""."""


def show_all(asked: Asked) -> Bundles:
    """The bundles that know people."""
    models = asked.web.client.models
    runs = people_asked.runs_of(asked)
    found = []
    for name in sorted({one.name for one in models.versions() if one.job == face_rows.JOB}):
        state = models.state(name)
        used = sum(results_faces.model_of(run) == name for run in runs)
        found.append(Bundle(name=name, version=state.current, pinned=bool(state.pinned), runs=used))
    return Bundles(bundles=found, run=asked.query.run)


def show(asked: Asked) -> People:
    """A bundle's people, and the unknown faces of some runs."""
    name = people_asked.bundle_of(asked)
    people_asked.require_numpy()
    known = people_known.of_bundle(asked.web.client, name)
    state = asked.web.client.models.state(name)
    offered = people_asked.runs_with(asked, name)
    chosen = people_asked.chosen_of(asked, offered)
    faces = [face for run in chosen for face in face_rows.of_run(asked.web, asked.web.client.run(run.run)).all]
    standing = people_asked.standing_of(asked, name)
    decisions = standing.decisions
    told = people_groups.sort(faces, decisions)
    groups = people_groups.group(told.unknown, known, decisions, told.named)
    versions = sorted(one.version for one in asked.web.client.models.versions() if one.name == name)
    pending = [one for one in decisions if not one.trained]
    query: PeopleQuery = asked.query
    return People(
        name=name, version=state.current, before=max((v for v in versions if v < state.current), default=0),
        next=state.last + 1, may_train=asked.who.may(Role.OPERATOR) or not known.ref, pinned=bool(state.pinned),
        problem=known.problem or standing.problem,
        threshold=known.threshold, rejected=known.rejected,
        runs=[
            RunOfFaces(
                run=run.run, pictures=run.items_done, model=str(run.options.get("model") or ""), chosen=run in chosen
            )
            for run in offered
        ],
        groups=[_shown(one) for one in groups[query.after : query.after + GROUPS]], after=query.after,
        of_groups=len(groups), unknown=len(told.unknown), undescribed=told.undescribed,
        people=_people(known, told.named), person=query.person,
        faces=[FaceShown.of(face) for face in told.named if face.label == query.person][:OF_PERSON],
        said=_said(asked, pending), new_names=len({one.person for one in pending if one.kind == "name"}),
        training=standing.training,
        upload=chosen[0].upload if chosen else "",
    )  # fmt: skip


def say(asked: Asked) -> None:
    """Say whose face it is, whose not, or that it is none."""
    body: Say = asked.body
    name = people_asked.bundle_of(asked)
    people_asked.require_numpy()
    person = "" if body.kind == "no face" else checked(body.person)
    runs = people_asked.chosen_of(asked, people_asked.runs_with(asked, name), body.runs)
    faces = {face.key: face for run in runs for face in face_rows.of_run(asked.web, asked.web.client.run(run.run)).all}
    first = faces.get((body.run, body.item, body.number))
    if first is None:
        raise Problem(404, f"there is no face {body.number} on {body.item!r} in the run {body.run!r}")
    meant: Sequence[Face] = [first]
    if body.of > 1:
        meant = _group_of(asked, name, first, list(faces.values()), body.of)
    asked.web.decisions.decide(name, meant, body.kind, person, asked.who.name)


def take_back(asked: Asked) -> None:
    """Unsay what one has said oneself, and an operator what anybody has, as long as no version is trained of it."""
    body: TakeBack = asked.body
    by = None if asked.who.may(Role.OPERATOR) else asked.who.name
    asked.web.decisions.take_back(people_asked.bundle_of(asked), body.kind, body.person, by)


def train(asked: Asked) -> Next:
    """Train the next version of all that was said of faces of runs that one may see."""
    name = people_asked.bundle_of(asked)
    pending = [one for one in people_asked.standing_of(asked, name).decisions if not one.trained]
    made = people_training.train(asked, name, pending)
    return Next(run=made.run, model=made.model)


def forget(asked: Asked) -> Next:
    """Make a version without a person."""
    name, person = people_asked.bundle_of(asked), asked.body.person
    if person not in people_known.of_bundle(asked.web.client, name).people:
        raise Problem(404, f"{name} knows nobody called {person!r}")
    pushed = asked.web.client.models.change_people(name, write(Changes(forget=(person,))))
    asked.web.decisions.forget_person(name, person)
    return Next(run="", model=pushed.manifest.ref)


def checked(person: str) -> str:
    """A person's name as it is kept.

    Raises:
        Problem: It can be no name.
    """
    found = unicodedata.normalize("NFC", " ".join(person.split()))
    if not found or found == UNKNOWN:
        raise Problem(422, f"{person!r} is no name: say who it is")
    if "/" in found or "\\" in found:
        raise Problem(422, f"{person!r} has a slash in it: a person's name is the name of a folder, too")
    try:
        spool.check_name(f"{found}/1.webp")
    except ValueError as error:
        raise Problem(422, f"{person!r} can be no person's name: {error}") from None
    return found


def _group_of(asked: Asked, name: str, first: Face, faces: Sequence[Face], number: int) -> Sequence[Face]:
    decisions = people_asked.standing_of(asked, name).decisions
    told = people_groups.sort(faces, decisions)
    known = people_known.of_bundle(asked.web.client, name)
    for one in people_groups.group(told.unknown, known, decisions, told.named):
        if one.faces[0].key == first.key and len(one.faces) == number:
            return one.faces
    raise Problem(409, "the groups have changed since this page was loaded: load it again")


def _shown(group: Group) -> GroupShown:
    return GroupShown(
        faces=len(group.faces), pictures=group.pictures, shown=list(map(FaceShown.of, group.faces[:OF_GROUP])),
        suggestion=group.suggestion, likeness=round(group.likeness, 2),
    )  # fmt: skip


def _people(known: Known, named: Sequence[Face]) -> list[Person]:
    seen = {one.label: one for one in results_faces.people(named)[0]}
    return [
        Person(
            label=label, learnt=known.people.get(label, 0), named=seen[label].faces if label in seen else 0,
            best=seen[label].best if label in seen else None,
        )
        for label in sorted({*known.people, *seen}, key=str.casefold)
    ]  # fmt: skip


def _said(asked: Asked, pending: Sequence[Decision]) -> list[Said]:
    by: dict[tuple[Kind, str], list[Decision]] = {}
    for one in pending:
        by.setdefault((one.kind, one.person), []).append(one)
    found = []
    for (kind, person), theirs in by.items():
        if (first := _face(asked, theirs[0])) is not None:
            found.append(Said(kind=kind, person=person, faces=len(theirs), first=first, by=theirs[0].by))
    return found


def _face(asked: Asked, one: Decision) -> FaceShown | None:
    try:
        faces = face_rows.of_run(asked.web, asked.web.client.run(one.run))
        return FaceShown.of(faces.by_item[one.item][one.number])
    except (errors.ClusterError, LookupError):  # the run is gone
        return None


ROUTES: tuple[Route, ...] = (
    View("/people", show_all, "people.html", "The bundles that know people.", Role.SUBMITTER, PeopleQuery),
    View(
        "/people/{bundle}", show, "people_of.html", "The people whom a bundle knows, and the faces that nobody knows.",
        Role.SUBMITTER, PeopleQuery,
    ),
    Action(
        "POST", "/api/people/{bundle}/say", say, "Say whose face it is, whose not, or that it is none.",
        Role.SUBMITTER, body=Say,
    ),
    Action(
        "POST", "/api/people/{bundle}/take-back", take_back, "Unsay what no version is trained of yet.",
        Role.SUBMITTER, body=TakeBack,
    ),
    Action(
        "POST", "/api/people/{bundle}/train", train, "Train the next version of all that was said.", Role.SUBMITTER,
    ),
    Action(
        "POST", "/api/people/{bundle}/forget", forget, "Make a version that does not know a person.", Role.OPERATOR,
        body=Forget,
    ),
)  # fmt: skip
