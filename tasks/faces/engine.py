"""Put together the parts that find and describe faces, from OpenCV's own files and those of a bundle."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tasks import pictures
from tasks.faces import align, features, haar, sface, yunet
from tasks.faces.sighting import Box, Detector, Sighting

if TYPE_CHECKING:
    from tasks.faces.sighting import Pixels

ENOUGH_PIXELS = 1920
"""JPEGs are decoded at a reduced scale down to this longer side: half as much again as detectors look at, so that
the smallest faces they find still are described from finer pixels."""
Network = TypeVar("Network")


class BadModel(ValueError):
    """A bundle's files cannot be used: which one, and why."""


class EngineMissing(RuntimeError):
    """OpenCV, NumPy or Pillow is not on this machine."""


class Engine(NamedTuple):
    """A detector and a way to describe faces."""

    id: str
    """The id of detector and features; features of engines with different ids do not compare."""
    compare: str
    """``cosine`` where features of different people differ by themselves, as those of a trained network do;
    ``discriminant`` where what distinguishes people is first to be learnt."""
    grey: bool
    """Whether the engine takes grey pictures."""
    find: Detector
    straighten: Callable[[Pixels, Sighting], Pixels]
    describe: Callable[[Pixels], Any]
    """Computes the features of a straightened face, or of its mirror image."""


class Picture(NamedTuple):
    """A decoded picture."""

    pixels: Pixels
    width: int
    """Width of the whole picture in pixels of the file; ``pixels`` may have fewer."""
    height: int

    def whole_box(self, box: Box) -> list[int]:
        """Where a box in ``pixels`` is in the whole picture: x, y, width, height, cut at its edge."""
        high, wide = self.pixels.shape[:2]
        x, y = self.width / wide, self.height / high
        left, top = max(0, round(box.x * x)), max(0, round(box.y * y))
        right, bottom = round((box.x + box.width) * x), round((box.y + box.height) * y)
        return [left, top, min(self.width, right) - left, min(self.height, bottom) - top]


def why_unavailable(*, model: str | None = None) -> str:
    """Why this machine cannot look for faces (with the networks of the bundle in that folder), or ""."""
    if problem := _not_installed():
        return problem
    try:
        if model:
            _try_out(load(model))
    except BadModel as error:
        return str(error)
    return ""


def _not_installed() -> str:
    for module, package in (("numpy", "NumPy"), ("PIL", "Pillow"), ("cv2", "OpenCV")):
        if not find_spec(module):
            return f"{package} is not installed"
    found = find_spec("cv2")
    if not (found and found.origin and Path(found.origin).with_name("data").is_dir()):  # cv2 is slow to import
        return "this OpenCV has no cascades: install opencv-python-headless>=4.10,<5"
    return ""


def _try_out(engine: Engine) -> None:
    """See that networks are of the kind they are named after: OpenCV loads others as well.

    Raises:
        BadModel: They are not.
    """
    import cv2

    if engine.grey:  # it has none
        return
    try:
        engine.find(_blank(engine))
        features = describe_blank(engine)
        if engine.compare == "cosine" and len(features) != sface.FEATURES:
            raise ValueError(f"it gives {len(features)} numbers for a face, not {sface.FEATURES}")
    except (cv2.error, ValueError, IndexError) as error:
        said = getattr(error, "err", error)
        raise BadModel(f"a network of the bundle is not the kind it is named after: {said}") from None


def describe_blank(engine: Engine) -> Any:
    """The features of a face without any: what is to be used with an engine can be tried on them."""
    import numpy as np

    points = np.array(((48.0, 56.0), (80.0, 56.0)))
    return engine.describe(engine.straighten(_blank(engine), Sighting(Box(32, 32, 64, 64), 1.0, points)))


def _blank(engine: Engine) -> Pixels:
    import numpy as np

    return np.full((128, 128) if engine.grey else (128, 128, 3), 128, np.uint8)


@functools.lru_cache(maxsize=4)
def load(model: str | None) -> Engine:
    """Once in a process and for each folder: another version of a bundle lies in another one.

    Raises:
        BadModel: A file of the bundle is not what it is named after.
        EngineMissing: A library is not here.
    """
    if problem := _not_installed():
        raise EngineMissing(problem)
    # One thread a picture: a process for each core is running already. For NumPy this must be said before its import.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import cv2

    cv2.setNumThreads(1)
    detector, embedder = networks(model)
    find = _opened(yunet.detector, detector) if detector else haar.find
    network = _opened(sface.Network, embedder) if embedder else None
    check_it_is_still_there(model)
    grey = not detector and not network
    name = f"{_id(detector, yunet.NAME) or haar.ID} {_id(embedder, sface.NAME) or features.ID}"
    if network:
        colour_find = find if detector else lambda pixels: find(_grey(pixels))
        return Engine(name, "cosine", grey, colour_find, network.straighten, network.describe)
    return Engine(
        name,
        "discriminant",
        grey,
        find,
        lambda pixels, seen: _grey(align.straighten(pixels, seen.points)),
        features.describe,
    )


def networks(model: str | None) -> tuple[Path | None, Path | None]:
    """The files of a bundle's detector and embedder, None for one that it has not.

    Raises:
        BadModel: Its parameters name a file that is none of it.
    """
    parameters = read_parameters(model)
    return _file(model, parameters, "detector", "yunet"), _file(model, parameters, "embedder", "sface")


def check_it_is_still_there(model: str | None) -> None:
    """See that a bundle's folder was not dropped while it was read: no file in it would look like an empty bundle.

    Raises:
        BadModel: It was.
    """
    if model and not Path(model).is_dir():
        raise BadModel(f"the folder {model} of the bundle is gone")


def read_parameters(model: str | None) -> Mapping[str, Any]:
    """The parameters of a bundle; none where it has no ``bundle.json``.

    Raises:
        BadModel: It is no JSON of the right form.
    """
    file = Path(model or "") / "bundle.json"
    if not model or not file.is_file():
        return {}
    try:
        parameters = json.loads(file.read_bytes()).get("parameters", {})
    except (ValueError, AttributeError, RecursionError) as error:
        raise BadModel(f"{file}: {error}") from None
    if not isinstance(parameters, Mapping):
        raise BadModel(f"{file}: parameters is {parameters!r}; it must be a mapping")
    return parameters


def decode(data: bytes, engine: Engine, max_megapixels: int) -> Picture:
    """The picture as the engine looks at it.

    Raises:
        UnreadablePicture: Damaged, too large, or no picture.
    """
    import cv2
    import numpy as np

    decoded = pictures.decode(data, max_megapixels=max_megapixels, grey=engine.grey, enough_pixels=ENOUGH_PIXELS)
    pixels: Any = np.asarray(decoded.picture)
    if not engine.grey:
        how = cv2.COLOR_GRAY2BGR if decoded.picture.mode == "L" else cv2.COLOR_RGB2BGR
        pixels = cv2.cvtColor(pixels, how)
    return Picture(pixels, decoded.width, decoded.height)


def see(picture: Picture, engine: Engine) -> list[Sighting]:
    """All faces whose middle lies in the picture, the best first."""
    height, width = picture.pixels.shape[:2]
    return [
        seen
        for seen in engine.find(picture.pixels)
        if 0 < seen.box.x + seen.box.width / 2 < width and 0 < seen.box.y + seen.box.height / 2 < height
    ]


def _grey(pixels: Pixels) -> Pixels:
    import cv2

    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels  # type: ignore[return-value]


def _file(model: str | None, parameters: Mapping[str, Any], key: str, part: str) -> Path | None:
    """The network that the parameters name, else the one whose name says what it is."""
    if not model:
        return None
    named = parameters.get(key)
    if named is None:
        return next((file for file in sorted(Path(model).glob("*.onnx")) if part in file.name.lower()), None)
    if not isinstance(named, str) or Path(named).name != named or not (Path(model) / named).is_file():
        raise BadModel(f"the parameter {key} is {named!r}; it must be the name of a file of the bundle")
    return Path(model) / named


def _opened(network: Callable[[Path], Network], file: Path) -> Network:
    import cv2

    try:
        return network(file)
    except cv2.error as error:
        raise BadModel(f"{file.name}: OpenCV cannot use it: {error.err}") from None


def _id(file: Path | None, name: str) -> str:
    return f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}" if file else ""
