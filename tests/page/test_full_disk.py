"""What a disk that is full, or breaks, leaves of an upload: whole files that are listed, and no others."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import pytest

from cluster.web import problems, receive
from cluster.web.receive import Bundle, Sending, Slice
from cluster.web.spool import Spool
from cluster.web.spool_upload import DRAFTS, Upload
from splitters.spool import ORDER


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    return Spool(tmp_path).begin("maria")


class Full:
    """A file on a disk that takes so many bytes more, which its other methods pass on to."""

    def __init__(self, stream: BinaryIO, free: int) -> None:
        self._stream, self._free = stream, free

    def write(self, data: bytes) -> None:
        self._stream.write(data[: self._free])
        self._free -= len(data)
        if self._free < 0:
            raise full()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_that_cannot_be_written_is_not_known(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    upload.put("a.txt", b"one", 1)
    order = upload.folder / ORDER
    before = order.read_bytes()

    def no_sync(stream: int) -> None:
        if before != order.read_bytes():
            raise full()

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", no_sync)
        with pytest.raises(OSError, match="No space"):
            upload.put("b.txt", b"two", 1)
    assert (upload.known("b.txt", 3, 1), order.read_bytes()) == (False, before)
    upload.put("b.txt", b"two", 1)
    assert Spool(upload.folder.parent).upload(upload.id).names() == ["a.txt", "b.txt"]


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
