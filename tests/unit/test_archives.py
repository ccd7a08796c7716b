"""Zip archives as folders of pages."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pikepdf
import pytest

from splitters import Item, NothingToSplit, PassedOver, archives, pages
from splitters.items import Items

PNG = b"\x89PNG\r\n\x1a\n and what follows"


def pdf(number: int) -> bytes:
    with pikepdf.new() as made:
        for _ in range(number):
            made.add_blank_page()
        out = io.BytesIO()
        made.save(out)
        return out.getvalue()


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, data in files.items():
            made.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def items(source: Path | Items) -> list[Item]:
    given = source if isinstance(source, Items) else [source]
    return [item for chunk in pages.split(given) for item in chunk]


def test_an_archive_is_read_like_a_folder(tmp_path: Path) -> None:
    inside = {"b.jpg": b"x", "a/book.pdf": pdf(2), "a/#1.png": PNG, "notes.txt": b"x", ".hidden.png": PNG, "scan": PNG}
    inside["__MACOSX/._b.jpg"] = b"x"
    (tmp_path / "phone.zip").write_bytes(zipped(inside))
    passed_over = PassedOver()
    found = [item for chunk in pages.split([tmp_path], passed_over=passed_over) for item in chunk]
    assert [item.name for item in found] == [
        "phone.zip/a/%231.png", "phone.zip/a/book.pdf#0001", "phone.zip/a/book.pdf#0002", "phone.zip/b.jpg",
        "phone.zip/scan",
    ]  # fmt: skip
    assert [item.data[:5] for item in found] == [PNG[:5], b"%PDF-", b"%PDF-", b"x", PNG[:5]]
    assert passed_over.shown() == {".txt": 1}
    assert pages.count([tmp_path]) == 5


ODD: Mapping[str, tuple[str, bytes, str]] = {
    "leads out": ("../out.png", PNG, "its name leads out of the archive"),
    "leads out below": ("a/../../out.png", PNG, "its name leads out of the archive"),
    "leads out elsewhere": ("..\\out.png", PNG, "its name leads out of the archive"),
    "is absolute": ("/etc/out.png", PNG, "its name leads out of the archive"),
    "is absolute elsewhere": ("C:/out.png", PNG, "its name leads out of the archive"),
    "is an archive": ("more.ZIP", zipped({"a.png": PNG}), "holds an archive in an archive, which is not looked into"),
    "is an archive without suffix": ("more", zipped({"a.png": PNG}), "holds an archive in an archive"),
    "is a bomb": ("bomb.pdf", bytes(20 * 2**20), "times its bytes; the limit is 100"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_entry_is_named_and_the_others_are_read(tmp_path: Path, what: str) -> None:
    name, data, problem = ODD[what]
    (tmp_path / "a.zip").write_bytes(zipped({"good.png": PNG, name: data, "z.png": PNG}))
    found = {item.name: item for item in items(tmp_path)}
    odd = found.pop(f"a.zip/{name}")
    assert problem in odd.problem
    assert not odd.data
    assert {item.name: item.problem for item in found.values()} == {"a.zip/good.png": "", "a.zip/z.png": ""}


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    [item] = items(tmp_path)
    assert (item.data, item.problem) == (b"", "is a link, which archives are not followed for")


def test_an_encrypted_entry_is_named(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.png": PNG}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    [item] = items(tmp_path)
    assert item.problem == "is encrypted: unpack the archive, and give the folder"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_packed_in_another_way_is_named(tmp_path: Path, method: int) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"a.png": PNG}, method))
    [item] = items(tmp_path)
    assert item.problem.startswith("is packed in a way that is not read")


def test_entries_that_together_are_a_bomb_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 2500)
    (tmp_path / "a.zip").write_bytes(zipped({f"{number}.bmp": bytes(1000) for number in range(9)}))
    monkeypatch.setattr(archives, "MOST_TIMES", 1)
    problems = [item.problem for item in items(tmp_path)]
    assert [bool(problem) for problem in problems] == [False] * 2 + [True] * 7
    assert problems[-1] == "the entries up to it unpack to more than 1 times the bytes of the archive"


def test_an_archive_of_too_many_entries_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_ENTRIES", 3)
    (tmp_path / "a.zip").write_bytes(zipped({f"{number}.png": PNG for number in range(4)}))
    [item] = items(tmp_path)
    assert (item.name, item.problem) == ("a.zip", "has more than 3 entries")


def test_an_archive_whose_list_is_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_LIST_BYTES", 200)
    (tmp_path / "a.zip").write_bytes(zipped({f"{number}.png": PNG for number in range(4)}))
    [item] = items(tmp_path)
    assert item.problem == "has more than 10,000 entries"


def test_a_zip64_that_tells_two_lengths_of_its_list_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zipped({f"{number}.png": PNG for number in range(4)})
    at = data.rfind(archives.END_MARK)
    *_, size, begin, _ = archives.END.unpack_from(data, at)
    long = archives.END_64.pack(archives.END_64_MARK, 44, 45, 45, 0, 0, 4, 4, size, begin)
    between = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    short = archives.END.pack(archives.END_MARK, 0, 0, 1, 1, 60, begin, 0)
    (tmp_path / "a.zip").write_bytes(data[:at] + long + between + short)
    assert len(items(tmp_path)) == 4
    monkeypatch.setattr(archives, "MOST_LIST_BYTES", 200)
    [item] = items(tmp_path)
    assert item.problem == "has more than 10,000 entries"


def test_an_entry_that_is_damaged_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    data = zipped({"a.png": PNG * 9, "b.pdf": pdf(1), "c.png": PNG}, zipfile.ZIP_STORED)
    for part in (b"what follows", b"/MediaBox"):
        data = data.replace(part, part.swapcase(), 1)
    (tmp_path / "a.zip").write_bytes(data)
    problems = [item.problem for item in items(tmp_path)]
    assert problems[:2] == ["damaged: Bad CRC-32 for file 'a.png'", "damaged: Bad CRC-32 for file 'b.pdf'"]
    assert problems[2:] == [""]


@pytest.mark.parametrize(
    ("data", "problem"),
    [(zipped({"a.png": PNG})[:-9], "is no zip archive, or cut off"), (b"PK\3\4" + bytes(99), "is no zip archive")],
)
def test_an_archive_that_is_cut_off_is_named(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    [item] = items(tmp_path)
    assert item.problem.startswith(problem)


def test_two_entries_of_one_name_are_two_items(tmp_path: Path) -> None:
    data = zipped({"a.png": PNG + b"1", "b.png": PNG + b"2"}).replace(b"b.png", b"a.png")
    (tmp_path / "a.zip").write_bytes(data)
    assert [(item.name, item.data[-1:]) for item in items(tmp_path)] == [("a.zip/a.png", b"1"), ("a.zip/a~2.png", b"2")]


def test_an_archive_without_entries_is_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({}))
    with pytest.raises(NothingToSplit, match="no pages"):
        items(tmp_path)


def test_other_files_that_are_archives_inside_are_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "letter.docx").write_bytes(zipped({"media/a.png": PNG}))
    [item] = items(tmp_path / "letter.docx")
    assert (item.name, item.problem) == ("letter.docx", "")


def test_an_archive_in_memory_is_read_like_one_on_disk() -> None:
    many = {f"{number}.pdf": pdf(2) for number in range(6)}
    given = [Item("a.zip", zipped(many)), Item("b.zip", zipped({"c.png": PNG}))]
    found = items(Items(lambda: iter(given)))
    assert [item.name for item in found[-3:]] == ["a.zip/5.pdf#0001", "a.zip/5.pdf#0002", "b.zip/c.png"]
    assert len(found) == 13
    assert all(item.data and not item.problem for item in found)


def test_each_archive_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    class Watched(archives.Archive):
        def __init__(self, path: Path) -> None:
            opened.append(path.name)
            super().__init__(path)

    monkeypatch.setattr(archives, "Archive", Watched)
    for name in ("a.zip", "b.zip", "c.zip"):
        (tmp_path / name).write_bytes(zipped({f"{number:02}.png": PNG for number in range(90)}))
    assert len(items(tmp_path)) == 270
    assert opened == ["a.zip", "b.zip", "c.zip"]
