"""What an output holds, as ``submit --only-new`` remembers it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from cluster import errors
from cluster.client import memory
from cluster.client.memory import Memory, Stamp


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    path.write_bytes(b"ink")
    return path


def opened(scan: Path, kind: str = "ocr pdf", options: str = "a") -> Memory:
    out = scan.parent / "out"
    return Memory(memory.place(out, scan.parent, is_folder=True), out, kind, options, is_folder=True)


def stamp_of(path: Path) -> Stamp:
    found = Stamp.of(path)
    assert found is not None
    return found


def knows(scan: Path, kind: str = "ocr pdf", options: str = "a") -> bool:
    with opened(scan, kind, options) as found:
        return found.has("scan.png", scan, Stamp.of(scan))


def remember(scan: Path, output: str = "scan.png.pdf") -> None:
    with opened(scan) as found:
        (scan.parent / "out" / output).write_bytes(b"%PDF")
        assert found.enter("scan.png", scan, stamp_of(scan), output)


def test_a_file_of_known_size_and_time_is_not_read(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not knows(scan)
    remember(scan)
    monkeypatch.setattr(memory, "sha256_of", None)  # to call it would raise a TypeError
    assert knows(scan)


def test_a_file_that_was_only_touched_is_read_once(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(scan)
    os.utime(scan, ns=(1, 1))
    assert knows(scan)
    monkeypatch.setattr(memory, "sha256_of", None)
    assert knows(scan)


@pytest.mark.parametrize("content", [b"INK", b"more ink"])
def test_a_file_of_other_bytes_is_new(scan: Path, content: bytes) -> None:
    remember(scan)
    scan.write_bytes(content)
    os.utime(scan, ns=(1, 1))
    assert not knows(scan)


def test_other_options_a_removed_output_and_another_format_are_new(scan: Path) -> None:
    remember(scan)
    assert not knows(scan, options="b")
    assert not knows(scan, kind="ocr hocr")
    assert knows(scan)
    (scan.parent / "out" / "scan.png.pdf").unlink()
    assert not knows(scan)


def test_a_file_that_changed_while_it_was_read_is_not_remembered(scan: Path) -> None:
    seen = stamp_of(scan)
    scan.write_bytes(b"ink and more")
    with opened(scan) as found:
        assert not found.enter("scan.png", scan, seen, "")
    assert not knows(scan)


def test_what_is_entered_is_kept_within_a_second(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is killed closes nothing."""
    monkeypatch.setattr(memory, "WRITE_S", 0)
    killed = opened(scan)
    assert killed.enter("scan.png", scan, stamp_of(scan), "")
    assert knows(scan)
    killed.close()


def test_two_programs_add_to_one_memory(scan: Path) -> None:
    with opened(scan) as one, opened(scan, "ocr hocr") as other:
        for found in (one, other, one):
            assert found.enter("scan.png", scan, stamp_of(scan), "")
    assert knows(scan)
    assert knows(scan, "ocr hocr")


def test_who_waits_too_long_for_another_program_is_told(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LOCK_S", 0.01)
    other = opened(scan)
    told = "locked; wait for the other"
    with opened(scan) as found, found.alone(), pytest.raises(errors.ClusterError, match=told), other.alone():
        pass
    other.close()


def test_a_damaged_memory_says_what_to_remove(scan: Path) -> None:
    remember(scan)
    file = scan.parent / "out" / memory.FILE
    file.write_bytes(b"no database" * 100)
    with pytest.raises(errors.ClusterError, match=r"cluster-done\.sqlite: .*; remove it, and all files are read again"):
        opened(scan)


def test_a_memory_of_a_later_version_is_left_alone(scan: Path) -> None:
    remember(scan)
    with sqlite3.connect(scan.parent / "out" / memory.FILE) as db:
        db.execute("pragma user_version=99")
    db.close()
    with pytest.raises(errors.ClusterError, match="another version"):
        opened(scan)


def test_the_size_of_chunks_decides_no_result() -> None:
    assert memory.digest("2", {"lang": "eng", "chunk_size": 1}) == memory.digest("2", {"chunk_size": 4, "lang": "eng"})
    assert (
        memory.digest("2", {"lang": "eng"})
        != memory.digest("2", {"lang": "deu"})
        != memory.digest("3", {"lang": "deu"})
    )
