"""Cutting pictures and text."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.job import Splitter
from splitters import NothingToSplit, PassedOver, lines, people, pictures


def some_pictures(folder: Path, number: int) -> Path:
    for at in range(number):
        (folder / f"{at:04}.png").write_bytes(b"x")
    return folder


def test_every_picture_is_in_one_chunk_and_the_last_chunks_are_small(tmp_path: Path) -> None:
    chunks = list(pictures.split([some_pictures(tmp_path, 150)], chunk_size=4))
    assert [item.name for chunk in chunks for item in chunk] == [f"{at:04}.png" for at in range(150)]
    assert len(chunks[0]) == 4
    assert [len(chunk) for chunk in chunks[-5:]] == [1] * 5


def test_only_pictures_are_taken_from_a_folder_but_a_given_file_always(tmp_path: Path) -> None:
    for name in ("a.PNG", "b.jpeg", "c.tiff", "notes.txt", "d.pdf"):
        (tmp_path / name).write_bytes(b"x")
    assert pictures.count([tmp_path]) == 3
    [[item]] = pictures.split([tmp_path / "notes.txt"])
    assert item.name == "notes.txt"


def test_a_folder_without_pictures_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(NothingToSplit, match=rf"in {tmp_path} \(looked for JPEG, PNG, TIFF, WebP, BMP, Netpbm, and "):
        next(pictures.split([tmp_path]))


def test_a_chunk_of_large_pictures_is_closed_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_CHUNK_BYTES", 1)
    chunks = list(pictures.split([some_pictures(tmp_path, 100)], chunk_size=4))
    assert {len(chunk) for chunk in chunks} == {1}


AS_TEXT = bytes.maketrans(lines.NEVER_IN_TEXT + b"\x07", b"\n" * (len(lines.NEVER_IN_TEXT) + 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=200)
@given(
    texts=st.lists(st.binary(max_size=60).map(lambda data: b"x" + data.translate(AS_TEXT)), min_size=1, max_size=5),
    size=st.integers(1, 40),
)
def test_every_byte_is_in_one_slice_and_no_line_is_cut(
    texts: list[bytes], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    for at, text in enumerate(texts):
        (folder / f"{at}.txt").write_bytes(text)
    slices = defaultdict(list)
    finished: list[str] = []
    for chunk in lines.split([folder], chunk_size=size):
        for item in chunk:
            slices[item.name].append(item.data)
            if item.last:
                finished.append(item.name)
    assert finished == [f"{at}.txt" for at in range(len(texts))]
    for at, text in enumerate(texts):
        pieces = slices[f"{at}.txt"]
        assert b"".join(pieces) == text
        assert all(piece.endswith(b"\n") for piece in pieces[:-1])


BINARY = {
    "a.pdf": b"%PDF-1.4\n% plain so far",
    "b.PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "c.key": bytes(range(1, 7)) * 20,
    "d.wide": b"\xff\xfe" + bytes(range(0xD0, 0xE0)) * 20,
}


def test_binary_files_in_a_folder_are_passed_over_and_counted(tmp_path: Path) -> None:
    for name, data in {**BINARY, "bells.txt": b"ring\a ring\f\x1b[1m", "empty": b"", "n\x20.txt": b"\xe4"}.items():
        (tmp_path / name).write_bytes(data)
    passed_over = PassedOver()
    found = [item for chunk in lines.split([tmp_path], passed_over=passed_over) for item in chunk]
    assert [(item.name, item.problem) for item in found] == [("bells.txt", ""), ("empty", ""), ("n .txt", "")]
    assert passed_over.shown() == {".pdf": 1, ".png": 1, ".key": 1, ".wide": 1}


def test_a_binary_file_given_by_itself_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(BINARY["a.pdf"])
    assert [item.problem for [item] in lines.split([tmp_path / "a.pdf"])] == [lines.NO_TEXT]


def test_a_folder_of_nothing_but_other_kinds_tells_which(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(BINARY["a.pdf"])
    for split in (lines.split, pictures.split, people.split):
        with pytest.raises(NothingToSplit, match=r"1 file is of no kind this job reads \(1 .pdf\)$"):
            next(split([tmp_path]))


@pytest.mark.parametrize("split", [pictures.split, people.split])
def test_files_of_other_kinds_beside_pictures_are_counted(split: Splitter, tmp_path: Path) -> None:
    pictures_of(tmp_path, "anna/1.jpg", *(f"anna/scan{at}.pdf" for at in range(20)), "IMG.CR2", "a/b.gif", "readme")
    passed_over = PassedOver()
    assert len(list(split([tmp_path], passed_over=passed_over))) == 1
    assert passed_over.shown() == {".cr2": 1, ".gif": 1, ".pdf": 20, PassedOver.NO_SUFFIX: 1}


def test_rare_and_odd_kinds_are_counted_together_as_others() -> None:
    passed_over = PassedOver()
    for kind in range(2000):
        passed_over.add(f"a.{kind}")
    for name in ("b.pdf", "b.PDF", "c.of 7 pages", "\udcff.\udcff", "d.averyverylongsuffix"):
        passed_over.add(name)
    shown = passed_over.shown()
    assert list(shown)[-1] == PassedOver.OTHERS
    assert len(shown) == PassedOver.MOST_SHOWN + 1
    assert sum(shown.values()) == 2005


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_text_with_a_byte_order_mark_is_cut_at_whole_characters(encoding: str, size: int, tmp_path: Path) -> None:
    # 0x0A0A is a character that holds the byte of a line's end twice, 0x010A holds it once.
    text = "".join(f"the \u0a0a\u010a \U0001f600 line {at}\n" for at in range(500)) + "\ufeffend"
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    (tmp_path / "a.txt").write_bytes((mark + text).encode(encoding))
    items = [item for chunk in lines.split([tmp_path], chunk_size=size) for item in chunk]
    assert b"".join(item.data for item in items).decode() == text
    assert all(item.data.endswith(b"\n") for item in items[:-1])
    assert [item.last for item in items] == [False] * (len(items) - 1) + [True]
    assert len(items) > 1 or size == 10_000


def test_a_wide_text_that_ends_in_half_a_character_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffthe end".encode("utf-16-le") + b"x")
    [[item]] = lines.split([tmp_path])
    assert item.data.decode() == "the end\ufffd"


def test_small_files_share_a_chunk(tmp_path: Path) -> None:
    for at in range(10):
        (tmp_path / f"{at}.txt").write_text("word\n")
    assert [len(chunk) for chunk in lines.split([tmp_path], chunk_size=20)] == [4, 4, 2]


def test_a_line_longer_than_a_chunk_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(b"x" * 1000 + b"\nshort\n")
    assert [item.data for [item] in lines.split([tmp_path], chunk_size=10)] == [b"x" * 1000 + b"\n", b"short\n"]


def test_a_line_over_the_limit_is_reported_under_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_ITEM_BYTES", 100)
    (tmp_path / "a.txt").write_bytes(b"x" * 101 + b"\n")
    (tmp_path / "b.txt").write_bytes(b"fine\n")
    items = [item for chunk in lines.split([tmp_path], chunk_size=10) for item in chunk]
    assert [(item.name, bool(item.problem)) for item in items] == [("a.txt", True), ("b.txt", False)]


def pictures_of(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))
    return folder


def items_of(*source: Path) -> dict[str, str]:
    return {item.name: item.problem for chunk in people.split(source) for item in chunk}


def test_the_first_folder_of_a_portraits_name_is_the_person(tmp_path: Path) -> None:
    pictures_of(tmp_path, "anna/1.jpg", "anna/2024/1.jpg", "ben/1.pgm", "ben/notes.txt")
    assert items_of(tmp_path) == {"anna/1.jpg": "", "anna/2024/1.jpg": "", "ben/1.pgm": ""}
    assert people.count([tmp_path]) == 3


def test_a_picture_in_nobodys_folder_is_reported_and_the_others_are_done(tmp_path: Path) -> None:
    pictures_of(tmp_path, "anna/1.jpg", "group.jpg")
    assert items_of(tmp_path) == {"anna/1.jpg": "", "group.jpg": people.NO_PERSON}


def test_pictures_of_nobody_alone_are_refused_at_once(tmp_path: Path) -> None:
    pictures_of(tmp_path, "anna/1.jpg", "anna/2.jpg", "group.jpg")
    for source in ([tmp_path / "anna"], [tmp_path / "group.jpg"], [tmp_path / "anna", tmp_path / "group.jpg"]):
        with pytest.raises(NothingToSplit, match="lies in nobody's folder"):
            list(people.split(source))


def test_the_person_stays_first_where_two_folders_hold_the_same_names(tmp_path: Path) -> None:
    old = pictures_of(tmp_path / "old", "anna/1.jpg", "anna/2.jpg", "ben/1.jpg")
    new = pictures_of(tmp_path / "new", "anna/1.jpg", "anna/old~/1.jpg")
    assert items_of(old, new) == dict.fromkeys(
        ["anna/old~~/1.jpg", "anna/2.jpg", "ben/1.jpg", "anna/new~/1.jpg", "anna/old~/1.jpg"], ""
    )


def test_a_mark_is_no_folder_of_that_person_whatever_bytes_it_has(tmp_path: Path) -> None:
    person = os.fsdecode(b"ann\xe4")
    pictures_of(tmp_path / "old", f"{person}/1.jpg")
    pictures_of(tmp_path / "new", f"{person}/1.jpg", f"{person}/old~/1.jpg")
    found = items_of(tmp_path / "old", tmp_path / "new")
    assert list(found) == [rf"ann\xe4/{rest}/1.jpg" for rest in ("old~~", "new~", "old~")]


def test_a_person_given_beside_the_folder_of_all_is_still_that_person(tmp_path: Path) -> None:
    pictures_of(tmp_path, "anna/1.jpg", "ben/1.jpg")
    assert list(items_of(tmp_path / "anna", tmp_path)) == ["anna/1.jpg", "ben/1.jpg"]


def test_the_person_is_found_wherever_the_folders_are_given_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures_of(tmp_path / "new", "anna/1.jpg")
    pictures_of(tmp_path / "old", "anna/1.jpg")
    monkeypatch.chdir(tmp_path / "new")
    assert items_of(Path(), Path("../old")) == {"anna/new~/1.jpg": "", "anna/old~/1.jpg": ""}


HEADS = {
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "jpeg": b"\xff\xd8\xff\xe0", "tiff": b"II*\0", "large-tiff": b"MM\0+",
    "bmp": b"BM" + bytes(12) + b"\x28\0\0\0", "webp": b"RIFF\0\1\2\3WEBPVP8 ",
    "pgm": b"P5\n# made by hand\n12 10\n255\n", "pbm": b"P4 12 10\n",
}  # fmt: skip


@pytest.mark.parametrize("name", ["scan", "page.001", "Letter of 3. March", "2024.11.02"])
@pytest.mark.parametrize("kind", HEADS)
def test_a_picture_without_a_suffix_is_known_by_its_beginning(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(HEADS[kind])
    assert [found.name for found in pictures.walk([tmp_path])] == [name]


@pytest.mark.parametrize("name", ["scan.jfif", "scan.JFIF", "scan.pjp", "scan.dib", "scan.btf", "scan.mpo"])
def test_pictures_are_known_by_their_rare_suffixes_as_well(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert pictures.count([tmp_path]) == 1


def test_what_is_no_picture_and_has_no_suffix_is_passed_over(tmp_path: Path) -> None:
    texts = (b"", b"BMW and others", b"P5 is a format", b"II", b"RIFF\0\0\0\0WAVE", b"GIF89a", b"%PDF-1.7")
    for at, text in enumerate(texts):
        (tmp_path / f"file{at}").write_bytes(text)
    (tmp_path / "scan.dat").write_bytes(HEADS["png"])
    (tmp_path / "locked").write_bytes(HEADS["png"])
    (tmp_path / "locked").chmod(0)
    os.mkfifo(tmp_path / "pipe")
    assert [found.name for found in pictures.walk([tmp_path])] == (["locked"] if os.geteuid() == 0 else [])
