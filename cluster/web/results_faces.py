"""The faces that a run has found: a picture with boxes and names beside the list, and a gallery of people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from cluster import errors, names
from cluster.client.run import Run, Status
from cluster.web import face_rows, pictures
from cluster.web.face_rows import Face, Faces
from cluster.web.problems import Problem
from cluster.web.routes import Asked

if TYPE_CHECKING:
    from cluster.web.results import Query

NOBODY = "no faces"
"""``show`` of the query, for pictures without a face; any other text is a label."""


class FaceShown(BaseModel):
    """A face on a picture."""

    run: str
    item: str
    number: int
    """Which one of its picture, from the left."""
    box: list[int]
    """Left, top, width and height, in pixels of the upright picture."""
    score: float
    label: str
    confidence: float

    @classmethod
    def of(cls, face: Face) -> FaceShown:
        """A face that was read."""
        return cls(
            run=face.run, item=face.item, number=face.number, box=list(face.box), score=face.score, label=face.label,
            confidence=face.confidence,
        )  # fmt: skip


class PersonSeen(BaseModel):
    """Somebody who is on some of the pictures."""

    label: str
    faces: int
    pictures: int
    best: FaceShown
    """The face whose label is surest."""


class FaceRow(BaseModel):
    """A picture in the list."""

    item: str
    labels: list[str]
    """From left to right."""


class OnePicture(BaseModel):
    """The picture that is shown."""

    item: str
    size: list[int] | None
    """Its width and height in pixels; None where it is not on this page's machine."""
    faces: list[FaceShown]


class FacesFound(BaseModel):
    """The faces of a run."""

    show: str
    """Whom the pictures are to show: see ``NOBODY``; "" for all pictures."""
    after: int
    pictures: int
    """In the run."""
    faces: int
    matching: int
    """Pictures that are looked for."""
    without_faces: int
    people: list[PersonSeen]
    """Those of most faces first."""
    unknown: PersonSeen | None
    """The faces that have no name, all together; None where each has one."""
    rows: list[FaceRow]
    one: OnePicture | None
    before: str
    """The picture in the list before ``one``; "" before the first."""
    next: str
    model: str
    """The bundle that knows people; "" without one."""
    is_described: bool
    """Whether its faces can be grouped and named, as the run has given descriptors."""


def show(asked: Asked, run: Run, status: Status) -> FacesFound | None:
    """The faces of a run; None as long as it goes on.

    Raises:
        errors.ClusterError: It has no result.
    """
    if status.state == "running":
        return None
    found = shown(face_rows.of_run(asked.web, run), asked.query, status)
    if found.one:
        found.one.size = _size(asked, status, found.one.item)
    return found


def shown(faces: Faces, query: Query, status: Status) -> FacesFound:
    """What is shown of them; without the size of the picture."""
    looked_for = query.q.casefold()
    items = [item for item in faces.items if looked_for in item.casefold() and _shows(faces.by_item[item], query.show)]
    at = items.index(query.item) if query.item in items else 0
    one = items[at] if items else None
    named, unknown = people(faces.all)
    return FacesFound(
        show=query.show, after=query.after, pictures=len(faces.items), faces=len(faces.all), matching=len(items),
        without_faces=sum(not faces.by_item[item] for item in faces.items), people=named, unknown=unknown,
        rows=[
            FaceRow(item=item, labels=[face.label for face in faces.by_item[item]])
            for item in items[query.after : query.after + query.most]
        ],
        one=None if one is None else OnePicture(item=one, size=None, faces=list(map(FaceShown.of, faces.by_item[one]))),
        before=items[at - 1] if at else "", next=items[at + 1] if at + 1 < len(items) else "",
        model=model_of(status),
        is_described=bool(status.options.get("describe")),
    )  # fmt: skip


def people(faces: Iterable[Face]) -> tuple[list[PersonSeen], PersonSeen | None]:
    """Who is on pictures, the most frequent first; and the faces without a name, which are no person."""
    by_label: dict[str, list[Face]] = {}
    for face in faces:
        by_label.setdefault(face.label, []).append(face)
    unknown = by_label.pop(face_rows.UNKNOWN, [])
    found = [_person(label, theirs) for label, theirs in by_label.items()]
    found.sort(key=lambda one: (-one.faces, one.label))
    return found, _person(face_rows.UNKNOWN, unknown) if unknown else None


def _person(label: str, theirs: Sequence[Face]) -> PersonSeen:
    best = max(theirs, key=lambda face: (face.confidence, face.score, face.box[2]))
    return PersonSeen(
        label=label, faces=len(theirs), pictures=len({(face.run, face.item) for face in theirs}),
        best=FaceShown.of(best),
    )  # fmt: skip


def _shows(faces: Sequence[Face], whom: str) -> bool:
    if whom == NOBODY:
        return not faces
    return not whom or any(face.label == whom for face in faces)


def _size(asked: Asked, status: Status, item: str) -> list[int] | None:
    try:
        found = pictures.original(asked.web, status, item)
        return list(asked.web.pictures.whole(found.path, found.page))
    except (Problem, OSError):
        return None


def model_of(run: Status) -> str:
    """The name of the model that a run was begun with; "" where it has none, or its folder."""
    given = run.options.get("model")
    if not isinstance(given, str) or names.is_folder(given):
        return ""
    try:
        return names.ModelRef.parse(given).name
    except errors.UsageError:
        return ""
