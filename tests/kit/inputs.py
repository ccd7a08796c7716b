"""A small and a long input for each built-in job, and the result of the small one: a row for each job.

Jobs that go in rounds have none here: their tasks do no chunk once and for all.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cluster.bundles import Bundles, content
from cluster.job import Job
from tests.kit import faces, onnx_models, predict_models

LONG_PAGES, LONG_FILES, LONG_LINES, LONG_CHUNKS = 80, 40, 30, 48
PAGES = {"a.png": "First page\n", "b/c.png": "Second page\n", "b/d.png": "Third page\n"}
WORDS = {"the": 3, "quick": 2, "fox": 1, "hen": 1, "\ufffdend": 1}
COLOURS = {name: onnx_models.answer(colour)[:1] for name, colour in onnx_models.PICTURES.items()}
Write = Callable[[Path], None]
"""Writes an input into a folder that is there."""


class Row(NamedTuple):
    """The inputs of a job."""

    small: Write
    """Gives at least three chunks."""
    check: Callable[[Any], None]
    """Raises ``AssertionError`` where this is not the result of ``small``."""
    chunk_size: int
    """Of ``small``."""
    long: Write
    """Keeps four slots busy for some five seconds."""
    long_options: tuple[str, ...] = ("--chunk-size", "1")
    """To submit ``long`` with."""
    model: Callable[[Path], str] | None = None
    """Makes the model that the job cannot do without in a folder, and gives its path."""


def _is(expected: Any) -> Callable[[Any], None]:
    def check(result: Any) -> None:
        assert result == expected

    return check


def _draw(folder: Path, texts: Mapping[str, str]) -> None:
    from PIL import Image, ImageDraw, ImageFont

    for name, text in texts.items():
        page = Image.new("RGB", (400, 80), "white")
        ImageDraw.Draw(page).text((20, 15), text.strip(), fill="black", font=ImageFont.load_default(size=40))
        (folder / name).parent.mkdir(exist_ok=True)
        page.save(folder / name)


def _small_pages(folder: Path) -> None:
    _draw(folder, PAGES)


def _long_pages(folder: Path) -> None:
    _draw(folder, {f"{number:03}.png": f"Page {number}\n" for number in range(LONG_PAGES)})


def _small_texts(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"the quick fox\nthe hen\n")
    (folder / "b").mkdir()
    (folder / "b" / "c.txt").write_bytes(b"the quick\n\xffend")


def _long_texts(folder: Path) -> None:
    for number in range(LONG_FILES):
        (folder / f"{number:03}.txt").write_text("".join(f"line{line} of {number}\n" for line in range(LONG_LINES)))


def _long_measured(folder: Path) -> None:
    for number in range(LONG_CHUNKS):
        (folder / f"{number:03}.txt").write_text(f"some words {number}")


TABLE: Mapping[str, Row] = {
    "ocr": Row(_small_pages, _is(PAGES), 1, _long_pages),
    "wordcount": Row(_small_texts, _is(WORDS), 12, _long_texts, ("--chunk-size", "16")),
    "faces": Row(faces.small, faces.check_small, 1, faces.long),
    "faces-train": Row(faces.small_people, faces.check_small_people, 1, faces.long_people),
    "onnx": Row(onnx_models.small, _is(COLOURS), 1, onnx_models.long, model=onnx_models.write),
    "predict": Row(
        predict_models.small, predict_models.check_small, 2, predict_models.long, model=predict_models.write
    ),
}
"""Every built-in job but those that go in rounds: ``tests/train`` has theirs."""
MEASURED = ("--seconds", "0.4")
"""The options of a long input of the test jobs."""


def small(job: str, folder: Path) -> Path:
    """Write the small input into ``folder``, which is there."""
    TABLE[job].small(folder)
    return folder


def texts(folder: Path, number: int, text: str = "some words") -> Path:
    """Write files for the job ``measure`` into ``folder``; each begins with ``text``, which may be a command of it."""
    folder.mkdir(exist_ok=True)
    for at in range(number):
        (folder / f"{at:03}.txt").write_text(f"{text} {at}")
    return folder


def model(job: str, folder: Path) -> str | None:
    """The model's folder that the job cannot do without, made in ``folder``; None where it needs none."""
    make = TABLE[job].model if job in TABLE else None
    return make(folder) if make else None


def options(job: str, folder: Path) -> dict[str, Any]:
    """The options that the job cannot do without on one machine; a model is made in ``folder``."""
    path = model(job, folder)
    return {"model": path} if path else {}


def submitted(job: Job, bundles: Bundles, folder: Path) -> list[str]:
    """The options that the job cannot do without on a cluster, which gets the model; it is made in ``folder``."""
    name = f"{job.name}-{secrets.token_hex(4)}"
    if path := model(job.name, folder):
        return ["--model", bundles.push(name, content.read_folder(Path(path)), "a test").manifest.ref]
    return ["--model", name] if job.trains else []


def same(job: Job, told: Any, result: Any) -> bool:
    """Whether what the cluster tells is the result that ``run_locally`` gave, as JSON has it."""
    if job.trains:
        told = {key: value for key, value in told.items() if key not in ("model", "new", "current", "based_on")}
        result = result.report
    if job.name == "predict":  # a program gets columns, a file has rows
        result = [dict(zip(result, row, strict=True)) for row in zip(*result.values(), strict=True)]
    return bool(told == json.loads(json.dumps(result)))


def check(job: str, result: Any) -> None:
    """Whether the result of ``small`` is right.

    Raises:
        AssertionError: It is not.
    """
    TABLE[job].check(result)


def long(job: str, folder: Path) -> list[str]:
    """Write an input that keeps four slots busy for some five seconds; gives the options to submit it with.

    What ``model`` gives comes besides them.
    """
    folder.mkdir()
    if job in TABLE:
        TABLE[job].long(folder)
        return list(TABLE[job].long_options)
    _long_measured(folder)
    return list(MEASURED)
