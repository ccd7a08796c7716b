"""How a model wants its pictures and what its answers mean, as its `bundle.json` says.

``parameters`` in that file may have these keys; ``size`` and ``labels`` it must have, but for a model of ``tensors``:

=========  ====================================================================================================
model      the ONNX file's name; not needed where there is only one
output     the name of the model's output that holds the answer: its first one unless told
labels     the name of a text file with a label a line, or a list of labels; in the order of the model's output
size       [width, height] of its input in pixels
colours    "rgb" (the default), "bgr" or "grey"
scale      what values of 0 to 255 are multiplied by: 1/255 unless told
mean, std  a number a channel, in the order of ``colours``: the model gets (value * scale - mean) / std
resize     "stretch" (the default), or "crop": the middle of the picture in the shape of ``size``
softmax    true where the model gives logits; false (the default) where it gives probabilities
tensors    true: the model takes no pictures. It is for `cluster serve` alone, and has no other key but ``model``
=========  ====================================================================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

MAX_SIDE = 4096
MAX_LABELS = 1_000_000
KEYS = ("model", "output", "labels", "size", "colours", "scale", "mean", "std", "resize", "softmax", "tensors")


class ModelUnusable(RuntimeError):
    """A model cannot be used: its folder, its parameters or its file is wrong."""


class Parameters(NamedTuple):
    """The parameters of a model, checked, with the defaults filled in."""

    file: Path
    output: str | None
    labels: tuple[str, ...]
    size: tuple[int, int]
    colours: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str
    softmax: bool


def read(folder: Path) -> Parameters:
    """The parameters of the model in ``folder``.

    Raises:
        ModelUnusable: Something is missing or has a value that cannot be used; the message names the key.
    """
    given = _given(folder)
    if given.get("tensors"):
        raise ModelUnusable('the model takes tensors, not pictures ("tensors" in its bundle.json): see `cluster serve`')
    colours = _one_of(given, "colours", ("rgb", "bgr", "grey"))
    channels = 1 if colours == "grey" else 3
    size = given.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(_is_side(side) for side in size)):
        raise _wrong("size", size, f"must be [width, height] in pixels, each from 1 to {MAX_SIDE}")
    scale, softmax = given.get("scale", 1 / 255), given.get("softmax", False)
    if not _is_number(scale) or scale == 0:
        raise _wrong("scale", scale, "must be a number other than 0")
    if not isinstance(softmax, bool):
        raise _wrong("softmax", softmax, "must be true or false")
    output = given.get("output")
    if output is not None and not (isinstance(output, str) and output):
        raise _wrong("output", output, "must be the name of an output")
    std = _numbers(given, "std", channels, 1.0)
    if 0 in std:
        raise _wrong("std", given["std"], "must not have a 0 in it")
    return Parameters(
        file=_model(folder, given.get("model")),
        output=output,
        labels=_labels(folder, given.get("labels")),
        size=(size[0], size[1]),
        colours=colours,
        scale=float(scale),
        mean=_numbers(given, "mean", channels, 0.0),
        std=std,
        resize=_one_of(given, "resize", ("stretch", "crop")),
        softmax=softmax,
    )


def is_of_tensors(folder: Path) -> bool:
    """Whether the model in ``folder`` takes no pictures.

    Raises:
        ModelUnusable: Its description cannot be used.
    """
    return bool(_given(folder).get("tensors"))


def file(folder: Path) -> Path:
    """The ONNX file of the model in ``folder``, whatever it takes.

    Raises:
        ModelUnusable: It is not there, or the description cannot be used.
    """
    return _model(folder, _given(folder).get("model"))


def _given(folder: Path) -> dict[str, Any]:
    try:
        bundle = json.loads((folder / "bundle.json").read_bytes())
    except OSError as error:
        raise ModelUnusable(f"the model's bundle.json cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelUnusable(f"the model's bundle.json is no JSON: {error}") from None
    if not isinstance(bundle, dict):
        raise ModelUnusable("the model's bundle.json must hold an object")
    job, given = bundle.get("job") or "onnx", bundle.get("parameters", {})
    if job != "onnx":
        raise ModelUnusable(f"the model is one of the job {job!r}, not of onnx")
    if not isinstance(given, dict):
        raise ModelUnusable("parameters in the model's bundle.json must be an object")
    if unknown := sorted(set(given) - set(KEYS)):
        raise ModelUnusable(f"the model has the unknown parameter {unknown[0]!r} (there are: {', '.join(KEYS)})")
    of_tensors = given.get("tensors", False)
    if not isinstance(of_tensors, bool):
        raise _wrong("tensors", of_tensors, "must be true or false")
    if of_tensors and (others := sorted(set(given) - {"tensors", "model"})):
        raise _wrong(others[0], given[others[0]], "must be left out of a model of tensors")
    return given


def _model(folder: Path, name: Any) -> Path:
    if name is None:
        files = sorted(folder.glob("*.onnx"))
        if len(files) != 1:
            there = ", ".join(path.name for path in files) or "none"
            raise ModelUnusable(f"the parameter model must name the ONNX file to use (there: {there})")
        return files[0]
    if not isinstance(name, str) or not name.endswith(".onnx"):
        raise _wrong("model", name, "must be the name of an .onnx file")
    return _file(folder, "model", name)


def _labels(folder: Path, given: Any) -> tuple[str, ...]:
    labels = given
    if isinstance(given, str):
        try:
            text = _file(folder, "labels", given).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise _wrong("labels", given, "must be a text file in UTF-8") from None
        labels = [line.strip() for line in text.rstrip().split("\n")]
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise _wrong("labels", given, "must be a text file with a label a line, or a list of labels, none empty")
    if not 0 < len(labels) <= MAX_LABELS:
        raise _wrong("labels", given, f"must be 1 to {MAX_LABELS:,} labels")
    return tuple(labels)


def _file(folder: Path, key: str, name: str) -> Path:
    path = folder / name
    if "\0" in name or not path.resolve().is_relative_to(folder.resolve()):
        raise _wrong(key, name, "must be a file in the model's folder")
    if not path.is_file():
        raise _wrong(key, name, "is not in the model's folder")
    return path


def _one_of(given: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    value = given.get(key, known[0])
    if value not in known:
        raise _wrong(key, value, f"must be one of {', '.join(known)}")
    return str(value)


def _numbers(given: Mapping[str, Any], key: str, count: int, default: float) -> tuple[float, ...]:
    values = given.get(key, [default] * count)
    if not (isinstance(values, list) and len(values) == count and all(_is_number(value) for value in values)):
        raise _wrong(key, values, f"must be a list of {count} number{'s' if count > 1 else ''}")
    return tuple(float(value) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIDE


def _wrong(key: str, value: Any, rule: str) -> ModelUnusable:
    if value is None:
        return ModelUnusable(f'the parameters in the model\'s bundle.json have no "{key}"; it {rule}')
    shown = repr(value)
    return ModelUnusable(f"the model's parameter {key} is {shown[:80] + '…' if len(shown) > 80 else shown}; it {rule}")
