"""Say what is on pictures with any image classification model in ONNX form, through OpenCV.

The model is a folder with an ONNX file and a `bundle.json` that says how pictures are prepared for it and what
its answers mean: `parameters.py` lists what stands in it.
`tensors.py` gives the model's own outputs for its own inputs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from splitters import Chunk
from tasks import Part, pictures
from tasks.onnx import external, graph, parameters, tensors
from tasks.onnx.net import MOST_ROWS, Net

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    Array = np.ndarray[Any, np.dtype[np.float32]]
    Bytes = np.ndarray[Any, np.dtype[np.uint8]]

Axes = tuple[int, int, int]
DECIMALS = 4
"""Decimals of confidences: machines differ in the digits after these."""


class Guess(TypedDict):
    """One label and how sure the model is of it."""

    label: str
    confidence: float
    """The model's output, 0 to 1; the softmax of its output where the parameters ask for that."""


def classify(
    chunk: Chunk, *, model: str | None = None, top: int = 1, max_megapixels: int = 64
) -> Part[dict[str, list[Guess]]]:
    """Give the ``top`` most likely labels of each picture, the likeliest first.

    Args:
        chunk: Pictures of ``pictures.FORMATS``; of several frames the first counts.
        model: The path of the model's folder.
        top: How many; fewer where the model has fewer labels.
        max_megapixels: Larger pictures are refused before they are decoded, in millions of pixels.

    A picture that cannot be decoded is reported under its name; the others are done.

    Raises:
        ModelUnusable: There is no such model, or its parameters do not fit it.
    """
    if not model:
        raise parameters.ModelUnusable("the job onnx needs a model: name one with --model")
    if problem := _not_installed():
        raise parameters.ModelUnusable(problem)
    loaded = _loaded(model)
    found: dict[str, list[Guess]] = {}
    failures: dict[str, str] = {}
    for at in range(0, len(chunk), MOST_ROWS):
        ready: dict[str, Array] = {}
        for item in chunk[at : at + MOST_ROWS]:
            try:
                ready[item.name] = loaded.prepare(item.data, max_megapixels)
            except pictures.UnreadablePicture as error:
                failures[item.name] = str(error)
        _answer(loaded, ready, top, found, failures)
    return Part(found, failures)


def _answer(
    loaded: Loaded, ready: Mapping[str, Array], top: int, found: dict[str, list[Guess]], failures: dict[str, str]
) -> None:
    """Enter the answer of each picture in one of the two."""
    import numpy as np

    if not ready:
        return
    try:
        scores = loaded.scores(np.stack(list(ready.values())))
    except parameters.ModelUnusable as error:
        failures |= dict.fromkeys(ready, str(error))
        return
    for name, row in zip(ready, scores, strict=True):
        try:
            found[name] = loaded.guesses(row, top)
        except parameters.ModelUnusable as error:
            failures[name] = str(error)


def why_unavailable(*, model: str | None = None) -> str:
    """Why this machine cannot classify pictures (by the model in that folder), or ""."""
    if problem := _not_installed():
        return problem
    try:
        if model and parameters.is_of_tensors(Path(model)):
            tensors.about(model)
        elif model:
            _loaded(model)
    except parameters.ModelUnusable as error:
        return str(error)
    return ""


def unusable(model: str) -> str:
    """Why no machine can classify pictures by the model in that folder, or "": its parameters, or its file's form."""
    try:
        folder = Path(model)
        external.whole(parameters.file(folder) if parameters.is_of_tensors(folder) else parameters.read(folder).file)
    except parameters.ModelUnusable as error:
        return str(error)
    return ""


def _not_installed() -> str:
    names = {"PIL": "Pillow", "numpy": "NumPy", "cv2": "OpenCV"}
    return " and ".join(f"{name} is not installed" for module, name in names.items() if not find_spec(module))


@functools.lru_cache(maxsize=4)
def _loaded(folder: str) -> Loaded:
    """The model, tried once, so that what is wrong shows before the first picture. Loaded once in a process.

    Raises:
        ModelUnusable: As ``classify``.
    """
    wanted = parameters.read(Path(folder))
    data = external.whole(wanted.file)
    declared = graph.read(data)
    output, axes = _output(declared, wanted), _axes(declared, wanted)
    net = Net(data, declared, wanted.file.name)
    net.require(output)
    return Loaded(wanted, net, output, axes).tried()


class Loaded(NamedTuple):
    """A model that is ready."""

    wanted: parameters.Parameters
    net: Net
    output: str
    """The name of the output that holds the answer."""
    axes: Axes

    def tried(self) -> Loaded:
        """The same, once it has run on made-up pictures.

        Raises:
            ModelUnusable: It cannot be run on pictures as its parameters say, or its answers are none.
        """
        import numpy as np

        shape = (*self.wanted.size[::-1], len(self.wanted.mean))
        shades = [np.full(shape, shade, np.uint8) for shade in (128, 32)]
        batch = np.stack([_prepared(pixels, self.wanted, self.axes) for pixels in shades])
        with self._naming():
            self.net.see_batches({self._input: batch}, self.output)
        _probabilities(self.scores(batch[:1])[0], self.wanted)
        return self

    def scores(self, batch: Array) -> Array:
        """What the model gives of prepared pictures, as (pictures, values).

        Raises:
            ModelUnusable: It cannot be run on these.
        """
        with self._naming():
            return self.net.run({self._input: batch}, self.output).reshape(len(batch), -1)

    def prepare(self, data: bytes, max_megapixels: int) -> Array:
        """The model's input of one picture, without the axis of the batch.

        Raises:
            UnreadablePicture: It cannot be decoded, or is too large.
        """
        import numpy as np

        return _prepared(np.asarray(_fitted(data, self.wanted, max_megapixels)), self.wanted, self.axes)

    def guesses(self, scores: Array, top: int) -> list[Guess]:
        """The likeliest labels by what the model gives of one picture.

        Raises:
            ModelUnusable: These are no probabilities, or not as many as labels.
        """
        labels = self.wanted.labels
        likely = [round(float(value), DECIMALS) for value in _probabilities(scores, self.wanted)]
        order = sorted(range(len(likely)), key=lambda at: (-likely[at], at))[:top]  # rounded, so that machines agree
        return [{"label": labels[at], "confidence": likely[at]} for at in order]

    @property
    def _input(self) -> str:
        return self.net.declared.inputs[0].name

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except parameters.ModelUnusable as error:
            width, height = self.wanted.size
            way = f"a picture of {width} x {height} in {self.wanted.colours}"
            raise parameters.ModelUnusable(f"{self.net.name} cannot be run on {way} (size, colours): {error}") from None


def _output(declared: graph.Graph, wanted: parameters.Parameters) -> str:
    """The name of the output that holds the answer.

    Raises:
        ModelUnusable: The model has none of the name that the parameters tell, or none at all.
    """
    names = [value.name for value in declared.outputs]
    if not names:
        raise parameters.ModelUnusable(f"{wanted.file.name} has no output")
    if wanted.output is not None and wanted.output not in names:
        raise parameters.ModelUnusable(
            f"{wanted.file.name} has no output {wanted.output!r} (there are: {', '.join(names)})"
        )
    return wanted.output or names[0]


def _axes(declared: graph.Graph, wanted: parameters.Parameters) -> Axes:
    """In which order the model takes a picture's (height, width, channels).

    Raises:
        ModelUnusable: It takes another size, another number of channels, several pictures or several inputs.
    """
    name = wanted.file.name
    if len(declared.inputs) != 1:
        names = ", ".join(value.name for value in declared.inputs) or "none"
        raise parameters.ModelUnusable(f"{name} must have one input; it has {len(declared.inputs)} ({names})")
    [given] = declared.inputs
    sizes = (wanted.size[1], wanted.size[0], len(wanted.mean))
    orders: tuple[Axes, ...] = ((2, 0, 1), (0, 1, 2))
    for order in orders:
        if graph.fits(given.shape, (1, *(sizes[axis] for axis in order))):
            return order
    shape = ", ".join("any" if size is None else str(size) for size in given.shape or ())
    way = f"a picture of {wanted.size[0]} x {wanted.size[1]} in {wanted.colours}"
    raise parameters.ModelUnusable(
        f"{name} cannot be run on {way} (size, colours): its input {given.name} is declared as [{shape}]"
    )


def _fitted(data: bytes, wanted: parameters.Parameters, max_megapixels: int) -> Image.Image:
    """The picture in the size and the colours of the model's input."""
    from PIL import Image, ImageOps

    with pictures.opened(data) as header:
        # A JPEG is decoded no larger than needed, so that its shorter side still is twice what the model sees.
        enough = math.ceil(2 * max(wanted.size) * max(header.size) / max(1, min(header.size)))
    picture = pictures.decode(data, max_megapixels=max_megapixels, enough_pixels=enough).picture
    picture = picture.convert("L" if wanted.colours == "grey" else "RGB")
    if wanted.resize == "crop":
        return ImageOps.fit(picture, wanted.size, Image.Resampling.BILINEAR)
    return picture.resize(wanted.size, Image.Resampling.BILINEAR)


def _prepared(pixels: Bytes, wanted: parameters.Parameters, axes: Axes) -> Array:
    """The model's input with its ``axes`` in that order, of pixels (height, width[, channels])."""
    import numpy as np

    channels = pixels.reshape(*pixels.shape[:2], -1).astype(np.float32)
    if wanted.colours == "bgr":
        channels = channels[..., ::-1]
    mean, std = np.array(wanted.mean, np.float32), np.array(wanted.std, np.float32)
    scaled = (channels * np.float32(wanted.scale) - mean) / std
    return np.ascontiguousarray(scaled.transpose(axes), np.float32)


def _probabilities(given: Array, wanted: parameters.Parameters) -> Array:
    import numpy as np

    if given.size != len(wanted.labels):
        raise parameters.ModelUnusable(
            f"there are {len(wanted.labels)} labels, and the model gives {given.size} values"
        )
    if not np.isfinite(given).all():
        raise parameters.ModelUnusable("the model gives values that are no numbers; look at its scale, mean and std")
    if wanted.softmax:
        grown = np.exp(given.astype(np.float64) - given.max())
        return np.asarray(grown / grown.sum(), np.float32)
    if given.min() < -0.001 or given.max() > 1.001:
        raise parameters.ModelUnusable(
            f"softmax is false, but the model gives values from {given.min():.3g} to {given.max():.3g}, "
            "which are no probabilities; set it to true if they are logits"
        )
    return np.clip(given, 0, 1)
