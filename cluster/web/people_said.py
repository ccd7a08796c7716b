"""Say who somebody is on the page: name faces, take that back, train a version of it, forget a person."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from aggregators.people_changes import Changes, write
from aggregators.recogniser import UNKNOWN
from cluster.roles import Role
from cluster.web import face_rows, people_asked, people_groups, people_known, people_training
from cluster.web.face_rows import Face
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route
from splitters import spool

MOST_PERSON_CHARS = 100


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


ROUTES: tuple[Route, ...] = (
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
