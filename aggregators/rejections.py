"""Faces of which people said whose they are not: such a face, and those most like it, never get that name.

They are the parameter ``rejected`` of a bundle: ``[{"label": "rosa", "descriptor": "discriminant-1a2b3c4d:…"}, …]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators import face_descriptors
from aggregators.face_descriptors import Kind

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

PARAMETER = "rejected"
MOST = 300
"""Rejected faces of a bundle; of more, the latest. Each takes 750 of the 262,144 bytes of its parameters."""
SAME = 0.6
"""The cosine from which on a new picture of a person shows the face that was rejected for her or him: somebody has
changed their mind. Of two portraits in the ORL database three of four have less, also of one person."""


class Rejection(NamedTuple):
    """A face that is not this person's."""

    label: str
    descriptor: str


class Rejections(NamedTuple):
    """What was rejected, beside the person's own pictures."""

    faces: Mapping[str, Floats]
    """Label -> (n, k) descriptors of faces that are not theirs, less ``middle``, of length 1."""
    own: Mapping[str, Floats]
    """The same labels -> those of their pictures."""
    middle: Floats
    """(k,) what all faces have in common."""
    compare: str

    def refuse(self, label: str, features: npt.NDArray[Any]) -> bool:
        """Whether a face is more like one that was rejected for this person than like any of her or his pictures.

        Args:
            label: The person's.
            features: (d,).
        """
        if label not in self.faces:
            return False
        row = _rows(face_descriptors.numbers(features[None], self.compare), self.middle)[0]
        return bool((self.faces[label] @ row).max() > (self.own[label] @ row).max())


def read(parameters: Mapping[str, Any]) -> list[Rejection]:
    """What a bundle's parameters say was rejected.

    Raises:
        ValueError: They are of another form.
    """
    return check(parameters.get(PARAMETER, []))


def check(given: Any) -> list[Rejection]:
    """The rejections in a list of JSON objects.

    Raises:
        ValueError: It is of another form.
    """
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise ValueError(f"{PARAMETER} must be a list of objects with label and descriptor")
    found = [Rejection(one.get("label"), one.get("descriptor")) for one in given]
    for one in found:
        if not isinstance(one.label, str) or not one.label:
            raise ValueError(f"{PARAMETER} has the label {one.label!r}; it must be the name of a person")
        face_descriptors.read(one.descriptor)
    return found


def write(rejections: Iterable[Rejection]) -> list[dict[str, str]]:
    """The parameter; of more than ``MOST`` the latest, none twice."""
    return [one._asdict() for one in list(dict.fromkeys(rejections))[-MOST:]]


def learn(
    rejections: Sequence[Rejection], samples: Mapping[str, npt.NDArray[Any]], middle: npt.NDArray[Any], kind: Kind
) -> Rejections | None:
    """What is compared with each face; None where nothing of that kind was rejected for the people of ``samples``.

    Args:
        rejections: Of any kinds and labels.
        samples: Label -> (n, d) features of the pictures that it was learnt from.
        middle: (d,) the average of all features; ignored for features of a trained network.
        kind: The kind of the features.
    """
    import numpy as np

    asked = [one for one in rejections if one.label in samples]
    which, numbers = face_descriptors.read_all((one.descriptor for one in asked), kind)
    if not which:
        return None
    labels = [asked[at].label for at in which]
    common = _middle(middle, kind, numbers.shape[1])
    owners = np.array(labels)
    faces = {label: _rows(numbers[owners == label], common) for label in sorted(set(labels))}
    own = {label: _rows(face_descriptors.numbers(samples[label], kind.compare), common) for label in faces}
    return Rejections(faces, own, common, kind.compare)


def without_taken_back(
    rejections: Sequence[Rejection], samples: Mapping[str, npt.NDArray[Any]], middle: npt.NDArray[Any], kind: Kind
) -> list[Rejection]:
    """Those that no new picture of the same person contradicts. ``samples`` are the new pictures; else as ``learn``."""
    kept = []
    for one in rejections:
        learnt = learn([one], samples, middle, kind)
        if learnt is None or (learnt.own[one.label] @ learnt.faces[one.label].T).max() < SAME:
            kept.append(one)
    return kept


def _middle(features: npt.NDArray[Any], kind: Kind, width: int) -> Floats:
    import numpy as np

    if kind.compare != "discriminant":
        return np.zeros(width)
    return face_descriptors.sums(features[None])[0] / face_descriptors.STEP  # type: ignore[no-any-return]


def _rows(numbers: npt.NDArray[Any], middle: Floats) -> Floats:
    import numpy as np

    rows = numbers.astype(np.float64) - middle
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)  # type: ignore[no-any-return]
