"""Train the next version of a bundle of what people said of faces: their crops become the input of a run."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from aggregators import face_groups, people_changes
from aggregators.people_changes import Changes
from aggregators.rejections import Rejection
from cluster import errors
from cluster.web import face_rows, pictures, publishing, submit
from cluster.web.decisions import Decision
from cluster.web.pictures import Wanted
from cluster.web.problems import Problem

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.web.context import Web
    from cluster.web.face_rows import Face
    from cluster.web.routes import Asked

JOB = "faces-train"
PUBLISHED_WITHIN_S = 15.0
"""Seconds from a run's end in which the process that read its input makes the version of it."""
SIDE = 640
"""Pixels of a crop's longer side, at most: portraits of that size are described as well as larger ones."""
PATIENCE_S = 60.0
"""How long a crop waits for its turn behind pictures that people look at: one without would be left out."""
MARGIN = 0.35
"""Share of a face's box that is added at each side, besides what ``pictures`` adds: detectors want to see the head."""
MOST_CROPS = 20
"""Pictures of a person that a version is trained of, spread over all that were named."""
MOST_REJECTED = 10
"""Faces that are rejected for a person at a time: of more, those that differ most."""


class Trained(NamedTuple):
    """What was begun or made."""

    run: str
    """The run that trains the version; "" where none was needed."""
    model: str
    """The version, where it is there already; else ""."""


def train(asked: Asked, bundle: str, pending: Sequence[Decision]) -> Trained:
    """Train the next version of what was said.

    Names need a run of the job faces-train, whose input is an upload with the crops; a "no" alone needs none.

    Raises:
        Problem: There is nothing to train of, no picture is on this machine, or only an operator may.
        errors.ClusterError: The run cannot be begun.
    """
    web = asked.web
    names = [one for one in pending if one.kind == "name"]
    if not any(one.kind != "no face" for one in pending):
        raise Problem(409, "nobody was named and no name was rejected: there is nothing to train of")
    publishing.require_new(asked, bundle)
    refused = rejected(pending)
    changes = people_changes.write(Changes(rejected=tuple(refused)))
    if not names:
        pushed = web.client.models.change_people(bundle, changes)
        web.decisions.note_training(bundle, pending, pushed.manifest.ref)
        return Trained("", pushed.manifest.ref)
    crops = dict(_crops(web, names))
    if not crops:
        raise Problem(409, "the pictures of the faces that were named are not on this page's machine any more")
    options = {"model": bundle, "more": True, **({"changes": changes} if refused else {})}
    upload = web.spool.begin(asked.who.name, len(crops), job=JOB)
    try:
        for name, data in crops.items():
            upload.put(name, data)
        upload.close()
        run = submit.begin(asked, upload, JOB, options)
    finally:
        if not upload.runs():
            web.spool.drop(upload.id)
    web.decisions.note_training(bundle, pending, run.id)
    return Trained(run.id, "")


class Standing(NamedTuple):
    """What became of trainings."""

    decisions: list[Decision]
    """All; those of a training that has failed wait for another one."""
    training: list[str]
    """Runs that train a version now."""
    problem: str
    """Why a training gave no version, for people; told once. "" where none has failed."""


def look(web: Web, bundle: str, decisions: Sequence[Decision]) -> Standing:
    """See what became of the trainings of these decisions."""
    failed: dict[str, str] = {}
    training = []
    for run in sorted({one.trained for one in decisions if one.trained.startswith(JOB)}):
        if web.decisions.is_trained(run):
            continue
        state, why = _state(web.client, run)
        if state == "training":
            training.append(run)
        elif state == "failed":
            failed[run] = why
        else:
            web.decisions.note_trained(run)
    if failed:
        web.decisions.note_training(bundle, [one for one in decisions if one.trained in failed], "")
    kept = [one._replace(trained="") if one.trained in failed else one for one in decisions]
    problem = "; ".join(f"the run {run} gave no version: {why}" for run, why in failed.items())
    return Standing(kept, training, problem)


def _state(client: Client, run: str) -> tuple[Literal["training", "failed", "trained"], str]:
    """How far a training is, and why it has failed."""
    asked = client.run(run)
    try:
        status = asked.status(failures=False)
        if status.state in ("failed", "cancelled"):
            return "failed", status.error or status.state
        if status.state == "done" and asked.report is not None:
            return "trained", ""
        if status.state == "running" or status.finished_at is None:
            return "training", ""
        if (datetime.now(UTC) - status.finished_at).total_seconds() < PUBLISHED_WITHIN_S:
            return "training", ""
        asked.result()  # the process that was to publish it is gone, or could make no model of it
    except errors.UnknownRun:  # it is over since long
        return "trained", ""
    except errors.ClusterError as error:
        return "failed", str(error)
    return "trained", ""


def rejected(pending: Iterable[Decision]) -> list[Rejection]:
    """The faces that are not somebody's, as a bundle keeps them: of many that are alike some."""
    by_person: defaultdict[str, list[str]] = defaultdict(list)
    for one in pending:
        if one.kind == "not" and one.descriptor:
            by_person[one.person].append(one.descriptor)
    return [Rejection(person, text) for person, texts in by_person.items() for text in _spread(texts)]


def _spread(texts: list[str]) -> list[str]:
    from aggregators import face_descriptors

    if len(texts) <= MOST_REJECTED:
        return texts
    kind = face_descriptors.kind_in(texts[0])
    which, numbers = face_descriptors.read_all(texts, kind)
    return [texts[which[at]] for at in face_groups.differing(numbers, MOST_REJECTED)]


def _crops(web: Web, names: Sequence[Decision]) -> Iterable[tuple[str, bytes]]:
    """Name in the upload -> bytes of each crop: ``PERSON/SHA.webp``."""
    by_person: defaultdict[str, list[Decision]] = defaultdict(list)
    for one in names:
        by_person[one.person].append(one)
    for person, theirs in by_person.items():
        step = max(1, -(-len(theirs) // MOST_CROPS))
        for one in theirs[::step]:
            with suppress(Problem, OSError, errors.ClusterError):
                data = crop(web, _face(web, one))
                yield f"{person}/{hashlib.sha256(data).hexdigest()[:16]}.webp", data


def _face(web: Web, one: Decision) -> Face:
    return face_rows.of_run(web, web.client.run(one.run)).by_item[one.item][one.number]


def crop(web: Web, face: Face) -> bytes:
    """A face with its surroundings, as a WebP of ours.

    Raises:
        Problem: The picture is not on this machine, or cannot be shown.
    """
    found = pictures.original(web, web.client.run(face.run).status(failures=False), face.item)
    x, y, width, height = face.box
    left, top = max(0, round(x - MARGIN * width)), max(0, round(y - MARGIN * height))
    box = left, top, round(x + (1 + MARGIN) * width) - left, round(y + (1 + MARGIN) * height) - top
    return web.pictures.webp(found.path, Wanted(SIDE, found.page, 0, box), PATIENCE_S)
