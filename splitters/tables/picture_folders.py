"""Read a folder of pictures with one folder for each class, named after it."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitters import Item, NothingToSplit, files, pictures
from splitters.tables import targets
from splitters.tables.scaling import Scaler
from splitters.tables.source import Source, Wanted

NO_CLASS = "lies in no class's folder: put the pictures of each class into a folder with its name"


def read(path: Path, wanted: Wanted, like: Source | None = None) -> Source:
    """Decode all pictures once, into a file in ``wanted.folder``. Those that cannot be read are named as problems.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: The pictures cannot be learned from; the message says what to do.
    """
    if importlib.util.find_spec("PIL") is None:
        raise ImportError("pictures are read with Pillow, which is not installed (pip install pillow)")
    if wanted.target is not None:
        raise ValueError("a picture's class is its folder: leave out --target")
    if wanted.drop:
        raise ValueError("pictures have no columns: leave out --drop")
    channels = 1 if wanted.grey else 3
    wished = wanted.size
    if like is not None:
        assert like.picture is not None  # noqa: S101 - both are folders of pictures
        wished = like.picture["width"], like.picture["height"]
    size = wished
    known: dict[str, int] = {}
    codes: list[int] = []
    problems: list[Item] = []
    rows = wanted.folder / f"pictures-{'test' if like else 'train'}"
    with rows.open("wb") as out:
        for found in pictures.walk([path], wanted.passed_over):
            picture, problem = _decoded(found, wished, grey=wanted.grey)
            if picture is None:
                problems.append(Item(found.name, b"", problem))
                continue
            height, width = picture.shape[:2]
            if size is None:
                size = width, height
            elif size != (width, height):
                raise ValueError(
                    f"{found.name} has {width}x{height} pixels, and others have {size[0]}x{size[1]}: give one size for"
                    " all, as --size 32x32"
                )
            codes.append(known.setdefault(found.name.split("/")[0], len(known)))
            np.moveaxis(picture.reshape(height, width, channels), -1, 0).tofile(out)
    if size is None:
        if any(item.problem == NO_CLASS for item in problems):
            raise ValueError(f"each picture {NO_CLASS}, and give the folder above")
        if problems:
            raise ValueError(f"no picture in {path} can be read, as {problems[0].name}: {problems[0].problem}")
        raise NothingToSplit(f"no pictures in {path}")
    labels = targets.Labels(list(known), np.array(codes, np.int32))  # in the order of names, as folders are walked
    decided = targets.decide(
        targets.Targets(labels, None, is_classes=True), "the folder", like.classes if like else None, where=path.name
    )
    shape = (channels, size[1], size[0])

    def blocks() -> Iterator[NDArray[Any]]:
        with rows.open("rb") as opened:
            while (block := np.fromfile(opened, np.uint8, wanted.block_rows * channels * size[0] * size[1])).size:
                yield block.reshape(-1, *shape)

    return Source(
        path.name, "pictures", None, decided.y, decided.classes, blocks,
        like.encoder if like else Scaler(shape, keeps_bytes=True),
        {"width": size[0], "height": size[1], "grey": wanted.grey}, problems=problems,
    )  # fmt: skip


def _decoded(
    found: files.Found, size: tuple[int, int] | None, *, grey: bool
) -> tuple[NDArray[np.uint8] | None, str]:  # fmt: skip
    if found.depth < 2:
        return None, NO_CLASS
    item = files.read(found)
    return (None, item.problem) if item.problem else decode(item.data, size, grey=grey)


def decode(data: bytes, size: tuple[int, int] | None, *, grey: bool) -> tuple[NDArray[np.uint8] | None, str]:
    """The pixels as (height, width) or (height, width, 3); or why there are none."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a file that can be read all the same
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as opened:
                upright = ImageOps.exif_transpose(opened).convert("L" if grey else "RGB")
                return np.asarray(upright if size is None else upright.resize(size, Image.Resampling.BOX)), ""
    except UnidentifiedImageError:  # its message names an address in memory
        return None, "is no picture of a kind that can be read"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return None, f"is no picture that can be read: {str(error) or type(error).__name__}"
