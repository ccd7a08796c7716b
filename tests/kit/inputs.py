"""A small input for each built-in job, and what it must give."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.bundles import Bundles, content
from cluster.job import Job
from tests.kit import faces, onnx_models

LONG_PAGES, LONG_FILES, LONG_LINES, LONG_CHUNKS = 80, 40, 30, 48
LONG_PICTURES = {"faces": faces.long, "faces-train": faces.long_people, "onnx": onnx_models.long}
CHUNK_SIZE = {"ocr": 1, "wordcount": 12, "faces": 1, "faces-train": 1, "onnx": 1}

EXPECTED: dict[str, dict[str, Any]] = {
    "ocr": {"a.png": "First page\n", "b/c.png": "Second page\n", "b/d.png": "Third page\n"},
    "wordcount": {"the": 3, "quick": 2, "fox": 1, "hen": 1, "\ufffdend": 1},
    "onnx": {name: onnx_models.answer(colour)[:1] for name, colour in onnx_models.PICTURES.items()},
}


def small(job: str, folder: Path) -> Path:
    """Write the input into ``folder``, which is there."""
    if job == "ocr":
        _draw(folder, EXPECTED["ocr"])
    elif job == "faces":
        faces.small(folder)
    elif job == "faces-train":
        faces.small_people(folder)
    elif job == "onnx":
        onnx_models.small(folder)
    else:
        (folder / "a.txt").write_bytes(b"the quick fox\nthe hen\n")
        (folder / "b").mkdir()
        (folder / "b" / "c.txt").write_bytes(b"the quick\n\xffend")
    return folder


def model(job: str, folder: Path) -> str | None:
    """The model's folder that the job cannot do without, made in ``folder``; None where it needs none."""
    return onnx_models.write(folder) if job == "onnx" else None


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
    return bool(told == json.loads(json.dumps(result)))


def check(job: str, result: Any) -> None:
    """Whether the result of ``small`` is right.

    Raises:
        AssertionError: It is not.
    """
    if job == "faces":
        faces.check_small(result)
    elif job == "faces-train":
        faces.check_small_people(result)
    else:
        assert result == EXPECTED[job]


def long(job: str, folder: Path) -> list[str]:
    """Write an input that keeps four slots busy for some five seconds; gives the options to submit it with.

    What ``model`` gives comes besides them.
    """
    folder.mkdir()
    if job == "ocr":
        _draw(folder, {f"{number:03}.png": f"Page {number}\n" for number in range(LONG_PAGES)})
        return ["--chunk-size", "1"]
    if job in LONG_PICTURES:
        LONG_PICTURES[job](folder)
        return ["--chunk-size", "1"]
    if job == "wordcount":
        for number in range(LONG_FILES):
            (folder / f"{number:03}.txt").write_text("".join(f"line{line} of {number}\n" for line in range(LONG_LINES)))
        return ["--chunk-size", "16"]
    for number in range(LONG_CHUNKS):
        (folder / f"{number:03}.txt").write_text(f"some words {number}")
    return ["--seconds", "0.4"]


def _draw(folder: Path, texts: Mapping[str, str]) -> None:
    from PIL import Image, ImageDraw, ImageFont

    for name, text in texts.items():
        page = Image.new("RGB", (400, 80), "white")
        ImageDraw.Draw(page).text((20, 15), text.strip(), fill="black", font=ImageFont.load_default(size=40))
        (folder / name).parent.mkdir(exist_ok=True)
        page.save(folder / name)
