"""Walking files and folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from splitters import MAX_ITEM_BYTES, files, lines, pictures


def names(*source: Path) -> list[str]:
    return [found.name for found in files.walk(source)]


def put(root: Path, *relative: str) -> Path:
    for name in relative:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def test_a_file_is_named_by_its_path_in_the_given_folder(tmp_path: Path) -> None:
    root = put(tmp_path / "scans", "b.txt", "a/c.txt", "a/b/d.txt")
    assert names(root) == ["a/b/d.txt", "a/c.txt", "b.txt"]


def test_a_file_given_by_itself_has_its_own_name(tmp_path: Path) -> None:
    root = put(tmp_path, "scans/a.txt")
    assert names(root / "scans" / "a.txt") == ["a.txt"]


def test_names_in_two_folders_are_told_apart_only_where_they_meet(tmp_path: Path) -> None:
    put(tmp_path, "x/same.txt", "x/one.txt", "y/same.txt", "z/x/same.txt")
    given = (tmp_path / "x", tmp_path / "y", tmp_path / "z" / "x")
    assert names(*given) == ["one.txt", "x/same.txt", "y/same.txt", "x~2/same.txt"]


def test_a_label_is_never_another_files_name(tmp_path: Path) -> None:
    put(tmp_path, "one/f.txt", "one/two/f.txt", "two/f.txt", "one/x~2/y.txt")
    found = names(tmp_path / "one", tmp_path / "two")
    assert found == ["one/f.txt", "two/f.txt", "x~2/y.txt", "two~2/f.txt"]
    assert len(set(found)) == 4


def test_two_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    put(tmp_path, "x/same.txt", "y/same.txt")
    assert names(tmp_path / "x" / "same.txt", tmp_path / "y" / "same.txt") == ["x/same.txt", "y/same.txt"]


def test_a_file_is_met_once_however_often_it_is_given(tmp_path: Path) -> None:
    root = put(tmp_path / "scans", "a.txt", "sub/b.txt")
    assert names(root, root / "sub", root / "a.txt", root) == ["a.txt", "sub/b.txt"]


def test_hidden_files_and_linked_folders_are_passed_over(tmp_path: Path) -> None:
    root = put(tmp_path / "scans", "a.txt", ".hidden", ".git/config")
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    assert names(root) == ["a.txt", "self"]
    assert [bool(files.read(found).problem) for found in files.walk([root])] == [False, True]


def test_a_name_that_is_no_utf8_travels_as_text(tmp_path: Path) -> None:
    for name in (b"a\xff.txt", b"a\xfe.txt", b"line\nbreak.txt"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("x")
    assert names(tmp_path) == ["a\\xfe.txt", "a\\xff.txt", "line\nbreak.txt"]
    assert [files.read(found).problem for found in files.walk([tmp_path])] == ["", "", ""]


def test_folders_deeper_than_pythons_calls_are_walked_whole(deep_path: Path) -> None:
    depth = sys.getrecursionlimit() + 100
    place = deep_path
    for _ in range(depth):
        place /= "d"
        place.mkdir()
    (place / "deep.txt").write_text("x")
    (deep_path / "e.txt").write_text("x")
    found = list(files.walk([deep_path], {".txt"}))
    assert [each.name for each in found] == ["d/" * depth + "deep.txt", "e.txt"]
    assert [files.read(each).problem for each in found] == ["", ""]


def long_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a link to a folder, some 5,000 bytes of path below the folder."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    for _ in range(25):
        Path("d" * 200).mkdir()
        os.chdir("d" * 200)
    Path("deep").write_bytes(b"P6 1 1 255 deep")
    Path("link").symlink_to(folder)
    monkeypatch.chdir(folder.parent)


@pytest.mark.skipif(sys.platform != "linux", reason="no other system reaches a path that it takes for too long")
def test_a_file_whose_path_is_too_long_for_the_system_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("one", "two"):
        long_path(tmp_path / root, monkeypatch)
    for source in ([Path("one")], [tmp_path / "one"]):
        [found] = pictures.walk(source)
        assert files.read(found).data == b"P6 1 1 255 deep"
        assert [item.data for [item] in lines.split(source)] == [b"P6 1 1 255 deep"]
    there = names(tmp_path / "one", tmp_path / "two")
    assert [name.partition("/")[0] for name in there] == ["one", "two"]


def test_a_file_that_cannot_be_reached_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_path(tmp_path / "one", monkeypatch)
    monkeypatch.setattr(files, "MOST_PATH_BYTES", 10_000)  # as where there is no other way
    [found] = files.walk([tmp_path / "one"])
    assert "too long" in files.read(found).problem
    [[item]] = lines.split([tmp_path / "one"])
    assert item.problem


@given(st.lists(st.binary(min_size=1).filter(lambda name: not {0, ord("/")} & set(name)), max_size=2))
@example([b"a\xff", rb"a\xff"])
@example([rb"\x5cxff", rb"\xff"])
@example([rb"\\x5c\xff", b"\\\\\xff"])
@example(["\ud800".encode("utf-8", "surrogatepass"), rb"\xed\xa0\x80"])
def test_two_names_are_never_told_as_one(names: list[bytes]) -> None:
    texts = [files.in_text(os.fsdecode(name)) for name in names]
    assert [os.fsencode(files.from_text(text)) for text in texts] == names
    for text in texts:
        text.encode()


@pytest.mark.parametrize("name", ["scan 1.png", "C:\\new\\x.png", "\\xFF", "日本.png", "\\x5", "a\nb"])
def test_an_ordinary_name_is_told_as_it_is(name: str) -> None:
    assert files.in_text(name) == name


def test_a_name_like_that_of_another_file_loses_none(tmp_path: Path) -> None:
    for name in (b"a\xff.txt", rb"a\xff.txt"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    found = {each.name: files.read(each).data for each in files.walk([tmp_path])}
    assert found == {r"a\x5cxff.txt": rb"a\xff.txt", r"a\xff.txt": b"a\xff.txt"}


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="Too many levels"):
        names(tmp_path / "loop")


@pytest.mark.parametrize(("locked", "expected"), [("scans/locked", ["a.txt", "locked"]), ("scans", ["scans"])])
def test_a_folder_that_cannot_be_listed_is_an_item_with_a_problem(
    locked: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path / "scans", "a.txt", "locked/b.txt")
    real = os.scandir

    def scandir(folder: Path) -> object:
        if folder == tmp_path / locked:
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr("os.scandir", scandir)
    found = list(files.walk([root]))
    assert [each.name for each in found] == expected
    assert files.read(found[-1]).problem == files.NO_FILE


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        names(tmp_path / "nowhere")


def test_what_cannot_be_read_is_an_item_with_a_problem(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    gone = files.Found("gone.txt", tmp_path / "gone.txt")
    assert files.read(files.Found("pipe", tmp_path / "pipe")).problem == files.NO_FILE
    assert "No such file" in files.read(gone).problem


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(MAX_ITEM_BYTES + 1)
    assert "over the limit" in files.read(files.Found("large", large)).problem


def test_a_link_that_leads_nowhere_hides_no_neighbours(tmp_path: Path) -> None:
    root = put(tmp_path / "scans", "a.txt", "z.txt")
    (root / "far").symlink_to("x" * 300)  # to look where it leads is an error
    assert names(root) == ["a.txt", "far", "z.txt"]


def test_how_deep_below_its_root_a_file_lies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "new", "ada/1.jpg", "2.jpg")
    put(tmp_path / "old", "ada/1.jpg")
    monkeypatch.chdir(tmp_path / "new")
    found = {each.name: each.depth for each in files.walk([Path(), Path("../old"), Path("../new/2.jpg")])}
    assert found == {"2.jpg": 1, "new/ada/1.jpg": 2, "old/ada/1.jpg": 2}
