"""Who is this? Unknown faces of some runs in groups by likeness, each with the known person it may be."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aggregators import face_descriptors, face_groups
from aggregators.face_descriptors import BadDescriptor, Kind
from cluster.web.decisions import Decision
from cluster.web.face_rows import Face
from cluster.web.kept import Kept
from cluster.web.people_known import Known

LEAST_LIKENESS = 0.1
"""Less likely people are not suggested; from 0.5 on a run gives the name by itself."""
_kept: Kept[list[list[int]]] = Kept(8)


class Group(NamedTuple):
    """Faces that are probably one person's."""

    faces: Sequence[Face]
    """The one that is most like the others first."""
    suggestion: str
    """The known person it may be; "" for none."""
    likeness: float
    """How sure that is, 0 to 0.5."""

    @property
    def pictures(self) -> int:
        """How many pictures they are on."""
        return len({(face.run, face.item) for face in self.faces})


class Sorted(NamedTuple):
    """Faces by what is known of them."""

    unknown: list[Face]
    """Nobody's, with a descriptor, and undecided."""
    named: list[Face]
    """Those that a run gave a name to, but for names that somebody rejected."""
    undescribed: int
    """Nobody's, of runs that gave no descriptors."""


def sort(faces: Iterable[Face], decisions: Sequence[Decision]) -> Sorted:
    """Sort faces by what runs and people said of them.

    Args:
        faces: Those of later runs first: of the same face in two runs, which has the same descriptor, the first counts.
        decisions: What was said of these faces, or of the same ones in other runs.
    """
    settled = {mark for one in decisions if one.kind != "not" for mark in (one.key, one.descriptor)}
    refused = {(mark, one.person) for one in decisions if one.kind == "not" for mark in (one.key, one.descriptor)}
    found, undescribed = Sorted([], [], 0), 0
    seen: set[str] = set()
    for face in faces:
        marks = [face.key, *filter(None, [face.descriptor])]
        if face.descriptor in seen or not settled.isdisjoint(marks):
            continue
        if face.descriptor:
            seen.add(face.descriptor)
        if not face.is_unknown and not any((mark, face.label) in refused for mark in marks):
            found.named.append(face)
        elif face.descriptor:
            found.unknown.append(face)
        else:
            undescribed += 1
    return found._replace(undescribed=undescribed)


def group(unknown: Sequence[Face], known: Known, decisions: Sequence[Decision], around: Sequence[Face]) -> list[Group]:
    """The unknown faces in groups, the largest first.

    Args:
        unknown: Nobody's faces; of many kinds of descriptors those of one kind are compared with each other.
        known: The people that they may be.
        decisions: What was said of faces.
        around: Other faces of the same runs, which tell what all faces have in common.

    Faces beyond ``face_groups.MOST_FACES`` of a kind wait for the others to be named.
    """
    refused: defaultdict[str, set[str]] = defaultdict(set)
    for one in decisions:
        if one.kind == "not":
            refused[one.descriptor].add(one.person)
    groups = [
        _suggested([faces[at] for at in members], refused)
        for kind, faces in _by_kind(unknown).items()
        for members in _members(faces, kind, known, around)
    ]
    return sorted(groups, key=lambda one: -len(one.faces))


def _by_kind(faces: Iterable[Face]) -> Mapping[Kind, list[Face]]:
    found: defaultdict[Kind, list[Face]] = defaultdict(list)
    for face in faces:
        try:
            kind = face_descriptors.kind_in(face.descriptor)
        except BadDescriptor:  # a node gave nonsense: it can still be seen on the picture
            continue
        found[kind].append(face)
    return found


def _members(faces: Sequence[Face], kind: Kind, known: Known, around: Sequence[Face]) -> list[list[int]]:
    """Groups as rows of ``faces``; kept, as people look at the same faces again and again."""
    faces = faces[: face_groups.MOST_FACES]
    others = [face.descriptor for face in around if face.descriptor][: face_groups.MOST_FACES]
    asked = hashlib.sha256(repr((kind, [face.key for face in faces], len(others), known.ref)).encode()).hexdigest()
    return _kept.get(asked, lambda: _grouped(faces, kind, known, others))


def _grouped(faces: Sequence[Face], kind: Kind, known: Known, others: Sequence[str]) -> list[list[int]]:
    import numpy as np

    which, numbers = face_descriptors.read_all((face.descriptor for face in faces), kind)
    if kind.compare != "discriminant":
        groups = face_groups.group(numbers, alike=face_groups.ALIKE_BY_NETWORK)
    else:
        _, rest = face_descriptors.read_all(others, kind)
        sources = [rest] if len(rest) else []
        if known.kind == kind and known.numbers is not None:
            sources.append(known.numbers)
        around = np.concatenate(sources) if sources else numbers[:0]
        groups = face_groups.group(numbers, around)
    return [[which[at] for at in members] for members in groups]


def _suggested(faces: Sequence[Face], refused: Mapping[str, set[str]]) -> Group:
    rejected = set().union(*(refused.get(face.descriptor, set()) for face in faces))
    likely: defaultdict[str, list[float]] = defaultdict(list)
    for face in faces:
        if face.like and face.like not in rejected:
            likely[face.like].append(face.likeness)
    best = max(likely, key=lambda person: (sum(likely[person]), person), default="")
    sure = sum(likely[best]) / len(faces) if best else 0.0
    return Group(faces, best, sure) if sure >= LEAST_LIKENESS else Group(faces, "", 0.0)
