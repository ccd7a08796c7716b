"""What a disk that is full, or breaks, leaves of an upload: whole files that are listed, and no others."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import pytest

from cluster.web import problems, receive
from cluster.web.problems import Problem
from cluster.web.receive import Bundle, Sending, Slice
from cluster.web.spool import Spool
from cluster.web.spool_upload import DRAFTS, Upload
from splitters import spool
from splitters.spool import CLOSED, ORDER, Entry


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    return Spool(tmp_path).begin("maria")


class Full:
    """A file on a disk that takes so many bytes more, which its other methods pass on to."""

    def __init__(self, stream: BinaryIO, free: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._stream, self._free, self._meanwhile = stream, free, meanwhile

    def write(self, data: bytes) -> int:
        self._stream.write(data[: self._free])
        self._free -= len(data)
        if self._free < 0:
            self._meanwhile()
            raise full()
        return len(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def send(upload: Upload, names: str) -> None:
    """Send files to an upload, each with its name as its content."""
    bundle = Bundle(upload)
    bundle.feed(b"".join(b'{"name": "%c", "size": 1, "modified": 1}\n%c' % (name, name) for name in names.encode()))
    bundle.end()


@contextmanager
def broken_sync(order: Path, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A disk that may lose what is added to a file, and says so later."""
    before = order.read_bytes()

    def sync(stream: int) -> None:
        if before != order.read_bytes():
            meanwhile()
            raise full()

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(os, "fdatasync", sync)
        yield


@contextmanager
def broken_write(order: Path, meanwhile: Callable[[], None]) -> Iterator[None]:
    """A disk that has room for a line and a half."""
    line = Entry("b", 1, hashlib.sha256(b"b").hexdigest(), 1).line()
    open_file = Path.open

    def opened(path: Path, mode: str = "r", buffering: int = -1) -> Any:
        stream: Any = open_file(path, mode, buffering)
        return Full(stream, len(line) * 3 // 2, meanwhile) if (path, mode) == (order, "r+b") else stream

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Path, "open", opened)
        yield


@pytest.mark.parametrize(("broken", "names"), [(broken_sync, "abcd"), (broken_write, "abdc")])
def test_a_run_reads_each_file_once_whatever_the_disk_fails_at(upload: Upload, broken: Any, names: str) -> None:
    send(upload, "a")
    run = spool.follow(upload.folder)
    read = [next(run).name]

    with broken(upload.folder / ORDER, lambda: read.append(next(run).name)), pytest.raises(OSError, match="No space"):
        send(upload, "bc")
    send(upload, "d")
    send(upload, "cb")
    upload.close()
    assert upload.known("b", 1, 1)
    assert "".join(read + [entry.name for entry in run]) == names
    again = Spool(upload.folder.parent).upload(upload.id)
    assert ("".join(again.names()), again.is_closed, again.size_bytes) == (names, True, 4)


def test_lines_that_a_sync_may_have_lost_are_written_again(upload: Upload) -> None:
    order = upload.folder / ORDER
    with broken_sync(order), pytest.raises(OSError, match="No space"):
        send(upload, "bc")
    whole = order.read_bytes()
    order.write_bytes(whole[:-20] + bytes(20))  # what a disk that lost the end may give back
    with broken_sync(order), pytest.raises(OSError, match="No space"):
        upload.close()
    assert order.read_bytes() == whole + CLOSED
    with pytest.raises(Problem, match="is closed"):  # a run may have read the end
        upload.put("late", b"")
    upload.close()
    assert [entry.name for entry in spool.follow(upload.folder)] == ["b", "c"]


def bundled(files: int) -> bytes:
    return b"".join(b'{"name": "%d.txt", "size": 3}\n%03d' % (number, number) for number in range(files))


def open_files(folder: Path) -> int:
    """Files below a folder that this process has open; those that are removed do not count."""
    return sum(1 for one in psutil.Process().open_files() if one.path.startswith(str(folder)))


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files as Linux lists them")
def test_a_bundle_holds_few_files_open(upload: Upload) -> None:
    bundle = Bundle(upload)
    bundle.feed(bundled(receive.MOST_OPEN * 2 + 1))
    assert 0 < open_files(upload.folder) <= receive.MOST_OPEN
    assert bundle.end().files == receive.MOST_OPEN * 2 + 1
    assert open_files(upload.folder) == 0


@pytest.mark.parametrize("where", ["_sync", "take"])
def test_the_drafts_of_a_failed_bundle_are_gone(upload: Upload, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fails(given: Any) -> None:
        if where == "_sync":
            given.close()
        raise full()

    monkeypatch.setattr(receive if where == "_sync" else upload, where, fails)
    bundle = Bundle(upload)
    try:
        bundle.feed(bundled(receive.MOST_OPEN + 1))
        bundle.end()
    except OSError:
        bundle.keep()
    assert list((upload.folder / DRAFTS).iterdir()) == []


def test_a_slice_cut_off_by_a_full_disk_is_not_whole(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    sending = Sending(name="big.jpg", size=10, modified=1)
    slice_ = Slice(upload, sending, 0)
    monkeypatch.setattr(slice_, "_stream", Full(slice_._stream, free=4))
    with pytest.raises(OSError, match="No space") as caught:
        slice_.feed(b"0123456789")
    assert slice_.end() == (4, "")
    assert (len(upload), receive.offset(upload, sending)) == (0, 4)
    rest = Slice(upload, sending, 4)
    rest.feed(b"456789")
    assert rest.end() == (10, "big.jpg")
    found = problems.of(caught.value)
    assert found is not None
    assert found.status == 507
