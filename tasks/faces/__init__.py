"""Find the faces on pictures and tell whose they are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NotRequired, TypedDict

from aggregators import face_descriptors, people, recogniser
from splitters import Chunk
from tasks import Part
from tasks.faces import engine
from tasks.faces.engine import BadModel, EngineMissing
from tasks.faces.sighting import Sighting
from tasks.pictures import UnreadablePicture

__all__ = ["BadModel", "EngineMissing", "Face", "recognise", "unusable", "why_unavailable"]
NOTHING_OF_USE = (
    f"the bundle holds nothing that this job uses: a recogniser ({recogniser.FILE}, which the job faces-train makes), "
    'or networks whose file names end in .onnx and tell what they are by a "yunet" or "sface" in them'
)


class Face(TypedDict):
    """A face on a picture."""

    box: list[int]
    """x, y, width and height in pixels of the upright picture; it lies within it."""
    score: float
    """How sure it is that this is a face, 0 to 1. With the cascades of OpenCV n / (n + 36), of n windows that were
    taken for it; with YuNet what the network says. Faces below 0.5, with YuNet 0.75, are not told."""
    label: str
    """The person's label, or ``unknown``."""
    confidence: float
    """How sure the label is: 0.5 where a name and ``unknown`` are as good, to 1; see ``aggregators/recogniser.py``.
    0 where nobody is known at all."""
    descriptor: NotRequired[str]
    """With ``describe``: what the face looks like, in some 700 characters; see ``aggregators/face_descriptors.py``."""
    like: NotRequired[str]
    """With ``describe``: the known person whom the face is most like, also where its label is ``unknown``; "" where
    nobody is known."""


def recognise(
    chunk: Chunk, *, model: str | None = None, describe: bool = False, max_megapixels: int = 64
) -> Part[dict[str, list[Face]]]:
    """Find the faces on each picture, from left to right, and name those that the model knows.

    Faces are found that look about this way. Without YuNet they are to lean less than 20 degrees, and to be 20 pixels
    wide or more, on pictures over 1280 pixels a 64th of the longer side; with it 40 degrees, 24 pixels, and on pictures
    over 1920 pixels a 70th.

    Args:
        chunk: Pictures as PNG, JPEG, TIFF, BMP, WebP, PGM or PPM files; of several frames the first counts.
        model: The folder of a bundle with a recogniser, networks, or both. Without a recogniser all are unknown.
        describe: Give each face a descriptor, by which faces can be compared, and the person it is most like.
        max_megapixels: Larger pictures are refused before they are decoded, in millions of pixels.

    A picture without a face gives an empty list; one that cannot be decoded is reported under its name.

    Raises:
        BadModel: The bundle cannot be used.
        EngineMissing: A library is not on this machine.
    """
    tools = engine.load(model)
    known = _recogniser(model)
    found: dict[str, list[Face]] = {}
    failures: dict[str, str] = {}
    for item in chunk:
        try:
            picture = engine.decode(item.data, tools, max_megapixels)
        except UnreadablePicture as error:
            failures[item.name] = str(error)
            continue
        faces = [_face(picture, seen, tools, known, describe=describe) for seen in engine.see(picture, tools)]
        found[item.name] = sorted(faces, key=lambda face: face["box"])
    return Part(found, failures)


def _face(
    picture: engine.Picture, seen: Sighting, tools: engine.Engine, known: recogniser.Recogniser | None, *,
    describe: bool,
) -> Face:  # fmt: skip
    guess = recogniser.Guess(recogniser.UNKNOWN, 0.0, "")
    if known or describe:
        features = tools.describe(tools.straighten(picture.pixels, seen))
        guess = known.guess(features) if known else guess
    # Rounded, so that machines agree whose arithmetic differs in the last digits.
    face = Face(
        box=picture.whole_box(seen.box), score=round(seen.score, 2), label=guess.label,
        confidence=round(guess.confidence, 2),
    )  # fmt: skip
    if describe:
        face["descriptor"] = face_descriptors.describe(features, tools.id, tools.compare)
        face["like"] = guess.like
    return face


def why_unavailable(*, model: str | None = None) -> str:
    """Why this machine cannot look for faces (with the bundle in that folder), or ""."""
    problem = engine.why_unavailable(model=model)
    if problem or not model:
        return problem
    try:
        known, tools = _recogniser(model), engine.load(model)
        if not known and tools.id == engine.load(None).id:
            return NOTHING_OF_USE
        if known:
            known.name(engine.describe_blank(tools))
    except BadModel as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, each picture with a face would end with it
        return f"{recogniser.FILE} does not work: {type(error).__name__}: {error}"
    return ""


def unusable(model: str) -> str:
    """Why no machine can look for faces with the bundle in that folder, or "": what its files are named tells."""
    try:
        return "" if any(engine.networks(model)) or (Path(model) / recogniser.FILE).is_file() else NOTHING_OF_USE
    except BadModel as error:
        return str(error)


@functools.lru_cache(maxsize=4)
def _recogniser(model: str | None) -> recogniser.Recogniser | None:
    """Loaded once in a process and for each folder.

    Raises:
        BadModel: It cannot be read, or was fitted to faces that were described in another way.
    """
    try:
        known = people.read_recogniser(model, engine.read_parameters(model)) if model else None
    except recogniser.BadRecogniser as error:
        raise BadModel(str(error)) from None
    here = engine.load(model).id
    engine.check_it_is_still_there(model)
    if known and known.engine != here:
        raise BadModel(
            f"the recogniser was fitted to faces described by {known.engine!r}, "
            f"but the bundle describes them by {here!r}; train again"
        )
    return known
