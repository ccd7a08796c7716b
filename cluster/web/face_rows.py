"""The faces that runs of the job faces have found, as the pages about faces and people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators.recogniser import UNKNOWN
from cluster.client.run import Run
from cluster.web import laid_over
from cluster.web.kept import Kept

if TYPE_CHECKING:
    from cluster.web.context import Web

__all__ = ["JOB", "UNKNOWN", "Face", "Faces", "of_run", "read"]
JOB = "faces"
FACE_BYTES = 700
"""Of a face in memory, about, besides its descriptor."""
MOST_KEPT_BYTES = 256 * 2**20


class Face(NamedTuple):
    """A face on a picture."""

    run: str
    item: str
    number: int
    """Which one of its picture, from the left; it stays the same, as a result does not change."""
    box: tuple[int, int, int, int]
    """Left, top, width and height, in pixels of the upright picture."""
    score: float
    label: str
    confidence: float
    like: str
    descriptor: str
    """"" where the run was not to give any."""

    @property
    def is_unknown(self) -> bool:
        """Whether it has no name."""
        return self.label == UNKNOWN

    @property
    def likeness(self) -> float:
        """How sure it is that it is the person it is most like, 0 to 1; 0.5 is as sure as not."""
        return 0.0 if not self.like else 1 - self.confidence if self.is_unknown else self.confidence

    @property
    def key(self) -> tuple[str, str, int]:
        """What names it among all faces."""
        return self.run, self.item, self.number


class Faces(NamedTuple):
    """The faces of a run, in the order of its input."""

    items: list[str]
    """All pictures, also those without a face."""
    by_item: Mapping[str, tuple[Face, ...]]

    @property
    def all(self) -> list[Face]:
        """One after the other."""
        return [face for item in self.items for face in self.by_item[item]]


def size_bytes(faces: Faces) -> int:
    """About how much memory they take."""
    return sum(FACE_BYTES + len(face.descriptor) for face in faces.all) + FACE_BYTES * len(faces.items)


_kept: Kept[Faces] = Kept(6, MOST_KEPT_BYTES, size_bytes)


def of_run(web: Web, run: Run) -> Faces:
    """The faces of a run that is done, with those of the runs that did again what was missing from it.

    Raises:
        errors.ClusterError: It has no result.
    """
    followers = web.followers.of(run.id)

    def made() -> Faces:
        laid = laid_over.values(run, followers) if followers else {}
        return read(run.id, laid_over.parts(run.parts(), laid))

    return _kept.get(run.id, made)


def read(run: str, parts: Iterable[Mapping[str, Any]]) -> Faces:
    """The faces in the parts of a run."""
    by_item = {item: tuple(_faces(run, item, found)) for part in parts for item, found in part.items()}
    return Faces(list(by_item), by_item)


def _faces(run: str, item: str, found: Iterable[Mapping[str, Any]]) -> Iterable[Face]:
    for number, face in enumerate(found):
        left, top, width, height = face["box"]
        yield Face(
            run, item, number, (left, top, width, height), float(face["score"]), face["label"],
            float(face["confidence"]), face.get("like", ""), face.get("descriptor", ""),
        )  # fmt: skip
