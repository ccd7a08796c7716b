"""PP-OCR, the second engine of the job ocr: whether this machine can use it, and its weights.

A bundle for it holds ``detector.onnx`` (finds text), ``recogniser.onnx`` (reads lines), ``characters.txt`` (those that
it knows, one a line, in order), and says ``{"engine": "ppocr"}`` among its parameters. Networks run in onnxruntime.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.ocr.ppocr.reader import Reader

DETECTOR, RECOGNISER, CHARACTERS = "detector.onnx", "recogniser.onnx", "characters.txt"
NAMES = {"PIL": "Pillow", "numpy": "NumPy", "cv2": "OpenCV", "onnxruntime": "onnxruntime"}


class WeightsUnusable(RuntimeError):
    """There are no weights, or they are none of PP-OCR, or a library is not here."""


def why_unavailable(model: str | None = None) -> str:
    """Why this machine cannot read with PP-OCR (with the weights in that folder), or ""."""
    if missing := _not_installed():
        return missing
    if model is None:
        return ""
    try:
        load(model)
    except WeightsUnusable as error:
        return str(error)
    return ""


def unusable(model: str) -> str:
    """Why no machine can read with the weights in that folder, or ""."""
    try:
        _check(Path(model))
    except WeightsUnusable as error:
        return str(error)
    return ""


@functools.lru_cache(maxsize=1)
def load(model: str) -> Reader:
    """PP-OCR with the weights in that folder: once in a process, as that takes 0.3 s and 150 MiB.

    Raises:
        WeightsUnusable: There are none, they are not whole, or a library is not installed.
    """
    if missing := _not_installed():
        raise WeightsUnusable(missing)
    folder = Path(model)
    characters = _check(folder)
    from tasks.ocr.ppocr import reader

    try:
        loaded = reader.Reader(folder / DETECTOR, folder / RECOGNISER, characters)
        loaded.try_out()
    except Exception as error:  # noqa: BLE001 - onnxruntime's own
        raise WeightsUnusable(f"its networks cannot be run: {type(error).__name__}: {error}") from None
    return loaded


def _not_installed() -> str:
    missing = [name for module, name in NAMES.items() if not find_spec(module)]
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed" if missing else ""


def _check(folder: Path) -> Sequence[str]:
    """See that a folder holds PP-OCR's weights; gives the characters. Needs no library.

    Raises:
        WeightsUnusable: It does not.
    """
    from tasks.onnx import external, graph
    from tasks.onnx.parameters import ModelUnusable

    try:
        said = json.loads((folder / "bundle.json").read_bytes()).get("parameters", {})
        if said.get("engine") != "ppocr":
            raise WeightsUnusable('it does not say {"engine": "ppocr"}; `cluster models import ppocr` makes one')
        characters = (folder / CHARACTERS).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        declared = [graph.read(external.whole(folder / name)) for name in (DETECTOR, RECOGNISER)]
    except OSError as error:
        raise WeightsUnusable(f"{Path(error.filename or folder).name}: {error.strerror}") from None
    except (ValueError, AttributeError, RecursionError, ModelUnusable) as error:
        raise WeightsUnusable(f"it is damaged: {error}") from None
    classes = (declared[1].outputs[0].shape or (None,))[-1] if declared[1].outputs else 0
    if any(len(network.inputs) != 1 or len(network.outputs) != 1 for network in declared):
        raise WeightsUnusable("one of its networks has not one input and one output")
    if classes is not None and classes != len(characters) + 2:  # none, and a blank
        raise WeightsUnusable(f"{RECOGNISER} tells {classes - 2} characters apart, {CHARACTERS} has {len(characters)}")
    return characters
