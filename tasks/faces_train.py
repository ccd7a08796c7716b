"""Describe portraits of people, so that a recogniser can be fitted to them."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from aggregators import people, recogniser
from splitters import Chunk
from tasks import Part
from tasks.faces import engine
from tasks.pictures import UnreadablePicture

why_unavailable = engine.why_unavailable

NO_FACE = "no face found; it must look about this way, upright, and be 24 pixels wide or more"
NO_PERSON = "lies in nobody's folder"
TAKEN = f"{recogniser.UNKNOWN!r} is what strangers are called; give the folder another name"


def embed_people(
    chunk: Chunk, *, model: str | None = None, max_megapixels: int = 64
) -> Part[dict[str, people.Portrait]]:
    """Find and describe the largest face on each picture.

    Args:
        chunk: Pictures named ``person/…``.
        model: The folder of a bundle: with its networks faces are found and described, and pictures it was fitted to
            are neither decoded nor described again.
        max_megapixels: Larger pictures are refused before they are decoded, in millions of pixels.

    A part holds 41 kB a picture.

    Raises:
        BadModel: The bundle cannot be used.
        EngineMissing: A library is not on this machine.
    """
    tools = engine.load(model)
    known = _known(model)
    portraits: dict[str, people.Portrait] = {}
    failures: dict[str, str] = {}
    for item in chunk:
        label, _, picture = item.name.partition("/")
        digest = hashlib.sha256(item.data).digest()
        try:
            if not picture:
                raise UnreadablePicture(NO_PERSON)
            if label == recogniser.UNKNOWN:
                raise UnreadablePicture(TAKEN)
            features, mirrored = known.get((tools.id, digest)) or _describe(item.data, tools, max_megapixels)
        except UnreadablePicture as error:
            failures[item.name] = str(error)
            continue
        portraits[item.name] = {
            "label": label,
            "sha256": digest,
            "engine": tools.id,
            "compare": tools.compare,
            "type": features.dtype.str,
            "features": features.tobytes(),
            "mirrored": mirrored.tobytes(),
        }
    return Part(portraits, failures)


def _describe(data: bytes, tools: engine.Engine, max_megapixels: int) -> tuple[Any, Any]:
    import cv2

    picture = engine.decode(data, tools, max_megapixels)
    seen = engine.see(picture, tools)
    if not seen:
        raise UnreadablePicture(NO_FACE)
    largest = max(seen, key=lambda one: (one.box.width * one.box.height, one.box))
    face = tools.straighten(picture.pixels, largest)
    return tools.describe(face), tools.describe(cv2.flip(face, 1))  # type: ignore[arg-type]


@functools.lru_cache(maxsize=2)
def _known(model: str | None) -> dict[tuple[str, bytes], tuple[Any, Any]]:
    """(Engine, digest of a picture) -> its features and those of its mirror image."""
    try:
        samples = people.read_samples(str(Path(model))) if model else None
    except recogniser.BadRecogniser:  # of another release, or damaged: to train again is what puts it right
        return {}
    if samples is None:
        return {}
    return {
        (samples.engine, digest.tobytes()): (plain, mirrored)
        for digest, (plain, mirrored) in zip(samples.digests, samples.features, strict=True)
    }
