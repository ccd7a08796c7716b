"""People that bundles know, and the faces of runs that nobody knows yet: who is this?

What people say is kept until a version is trained of it, in the page's own folder. Descriptors and names stay on this
machine and in the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from cluster import errors
from cluster.roles import Role
from cluster.web import face_rows, people_asked, people_groups, people_known, results_faces
from cluster.web.decisions import Decision, Kind
from cluster.web.face_rows import Face
from cluster.web.people_groups import Group
from cluster.web.people_known import Known
from cluster.web.people_said import MOST_PERSON_CHARS
from cluster.web.results_faces import FaceShown
from cluster.web.routes import Asked, Route, View

GROUPS = 24
"""Groups on a page."""
OF_GROUP = 6
"""Faces of a group that are shown."""
OF_PERSON = 60


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
)  # fmt: skip
