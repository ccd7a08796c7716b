"""Uploads as the input of a run: in order of arrival, while they grow, under names of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitters import PassedOver, files, lines, pages, people, pictures, spool
from splitters.spool import CLOSED, ORDER, Entry, Head, Sent

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples" / "images"
ZEROES = "0" * 64
HEAD = Head("u-000000000000", "maria", 1.0, files=2).line()


def upload(folder: Path, contents: dict[str, bytes], *, closed: bool = True) -> Path:
    """An upload with these files, as the page writes it."""
    import hashlib

    rows = []
    for name, data in contents.items():
        entry = Entry(name, len(data), hashlib.sha256(data).hexdigest())
        place = folder / entry.place
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        rows.append(entry.line())
    folder.mkdir(exist_ok=True)
    (folder / ORDER).write_bytes(HEAD + b"".join(rows) + (CLOSED if closed else b""))
    return folder


def test_files_come_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    sent = Sent(upload(tmp_path / "u", {"b/2.jpg": b"2", "a.jpg": b"1", "b/1.JPG": b"3"}))
    found = list(pictures.walk(sent))
    assert [(one.name, one.depth) for one in found] == [("b/2.jpg", 2), ("a.jpg", 1), ("b/1.JPG", 2)]
    assert [files.read(one).data for one in found] == [b"2", b"1", b"3"]


def test_an_upload_gives_the_items_of_the_folder_that_was_sent(tmp_path: Path) -> None:
    folder = EXAMPLES
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    contents |= {"notes.docx": b"left out", ".hidden/x.png": b"left out", "torn.pdf": b"no pdf"}
    given = tmp_path / "given"
    for name, data in contents.items():
        (given / name).parent.mkdir(parents=True, exist_ok=True)
        (given / name).write_bytes(data)
    here, there = PassedOver(), PassedOver()
    sent = {
        item.name: item
        for chunk in pages.split(Sent(upload(tmp_path / "u", contents)), passed_over=here)
        for item in chunk
    }
    assert sent == {item.name: item for chunk in pages.split([given], passed_over=there) for item in chunk}
    assert here.shown() == there.shown() == {".docx": 1}


def test_a_reader_at_the_end_waits_until_the_upload_is_closed(tmp_path: Path) -> None:
    folder = upload(tmp_path / "u", {"a.txt": b"one"}, closed=False)
    looks = 0

    def more() -> None:
        nonlocal looks
        looks += 1
        with (folder / ORDER).open("ab") as stream:
            stream.write(Entry("b.txt", 3, ZEROES).line()[:-5] if looks == 1 else b'000"}\n'[-5:] + CLOSED)

    assert [entry.name for entry in spool.follow(folder, more)] == ["a.txt", "b.txt"]
    assert looks == 2


def test_a_dropped_upload_ends_whoever_reads_it(tmp_path: Path) -> None:
    folder = upload(tmp_path / "u", {"a.txt": b"one"}, closed=False)
    reading = spool.follow(folder, (folder / ORDER).unlink)
    next(reading)
    with pytest.raises(OSError, match="was dropped"):
        next(reading)


def test_people_in_an_upload_are_told_apart_by_folder(tmp_path: Path) -> None:
    sent = Sent(upload(tmp_path / "u", {"anna/1.jpg": b"1", "ben/2024/2.jpg": b"2", "alone.jpg": b"3"}))
    assert [one.name for one in people.walk(sent) if not one.problem] == ["anna/1.jpg", "ben/2024/2.jpg"]


def test_texts_of_an_upload_are_cut_into_lines(tmp_path: Path) -> None:
    sent = Sent(upload(tmp_path / "u", {"a.txt": b"one\ntwo\n", "b.bin": b"\0\0"}))
    left_out = PassedOver()
    assert [item.data for chunk in lines.split(sent, chunk_size=4, passed_over=left_out) for item in chunk]
    assert left_out.shown() == {".bin": 1}


def test_tables_are_laid_out_for_splitters_of_files(tmp_path: Path) -> None:
    sent = Sent(upload(tmp_path / "u", {"letters.csv": b"a,b\n", "more.csv": b"c,d\n"}))
    assert [(path.name, path.read_bytes()) for path in sent] == [("letters.csv", b"a,b\n"), ("more.csv", b"c,d\n")]
    assert all(path.is_relative_to(sent.folder) and path.stat().st_nlink == 2 for path in sent)
    [folder] = Sent(upload(tmp_path / "v", {"daisy/1.jpg": b"1", "rose/1.jpg": b"2"}))
    assert sorted(path.name for path in folder.iterdir()) == ["daisy", "rose"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../x",
        "a//b",
        "a/",
        "./a",
        "C:\\x",
        "c:x",
        "a\0b",
        "a\nb",
        "x" * 256,
        "y/" * 513,
        "\ud800",
    ],
)
def test_a_name_that_is_no_path_below_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"its name|a part of its name"):
        spool.check_name(name)


@pytest.mark.parametrize(
    "name", ["order.jsonl", ".ssh/x", "a b/ü.jpg", "..jpg", "x" * 255, "<img src=x>.png", "\u202ex"]
)
def test_an_odd_name_is_taken_as_it_is(name: str) -> None:
    spool.check_name(name)


def test_a_name_leads_to_no_path_outside_the_upload() -> None:
    entry = Entry.parse(Entry("../../x/../y.JPG", 1, ZEROES).line())
    assert entry is not None
    assert entry.place == f"00/{ZEROES}.jpg"
    with pytest.raises(ValueError, match="cannot be understood"):
        Entry.parse(Entry("a", 1, "../../etc/passwd").line())


def test_pages_that_are_wanted_travel_with_their_document() -> None:
    entry = Entry("a.pdf", 1, ZEROES, 5, (2, 7))
    assert Entry.parse(entry.line()) == entry
