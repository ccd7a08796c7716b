"""The folders of private runs that were stopped."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from cluster import errors, settings
from cluster.embedded import private

RUN = "ocr-1a2b3c4d"
Usage = namedtuple("Usage", "total used free")


def made(root: Path, run: str = RUN) -> private.Private:
    """A run that was opened."""
    kept = private.make(root, run, "ocr", "command", "seen")
    kept.is_over = False
    return kept


def test_a_run_that_was_never_opened_leaves_no_folder(tmp_path: Path) -> None:
    private.make(tmp_path, RUN, "ocr", "command", "seen").close()
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_run_is_listed_with_what_opened_it_and_its_size(tmp_path: Path) -> None:
    kept = made(tmp_path)
    (kept.data / "appendonly").write_bytes(b"x" * 5000)
    [about] = private.listed(tmp_path)
    assert (about.run, about.job, about.command, about.seen) == (RUN, "ocr", "command", "seen")
    assert (about.process, private.is_held(about)) == (os.getpid(), True)
    assert about.size_bytes > 5000
    kept.close()
    [about] = private.listed(tmp_path)
    assert about.process is None


def test_a_run_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    kept = made(tmp_path)
    with pytest.raises(errors.RunBusy, match=f"the process {os.getpid()} of this machine"):
        private.reopen(tmp_path, RUN)
    assert not private.remove(tmp_path, RUN)
    kept.close()
    again = private.reopen(tmp_path, RUN)
    again.is_over = True
    again.close()
    with pytest.raises(errors.UnknownRun):
        private.reopen(tmp_path, RUN)


def test_a_command_whose_input_changed_does_not_find_its_run_again(tmp_path: Path) -> None:
    made(tmp_path).close()
    private.disown(tmp_path, RUN)
    assert [about.command for about in private.listed(tmp_path)] == [""]


def test_runs_that_nobody_went_on_with_expire(tmp_path: Path) -> None:
    made(tmp_path).close()
    busy = made(tmp_path, "ocr-5e6f7a8b")
    for file in tmp_path.rglob("*"):
        os.utime(file, (1, 1))
    assert private.sweep(tmp_path, 3600) == [RUN]
    busy.close()
    assert [path.name for path in tmp_path.iterdir()] == ["ocr-5e6f7a8b"]


def test_a_disk_that_is_nearly_full_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 99, 1))
    with pytest.raises(OSError, match="0 MiB are free on the disk"):
        private.make(tmp_path, RUN, "ocr", "command", "seen")
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_there_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "ocr-00000000").mkdir()
    (tmp_path / "ocr-11111111").mkdir()
    (tmp_path / "ocr-11111111" / "run.json").write_text('{"job": 3}')
    (tmp_path / "file").touch()
    assert private.listed(tmp_path) == []
    assert private.find(tmp_path, "../ocr-00000000") is None


def test_runs_of_before_are_found_where_they_were_and_new_ones_lie_in_the_data_folder(tmp_path: Path) -> None:
    config = settings.load(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")
    assert private.folder(config) == tmp_path / "data" / "private"
    older = made(tmp_path / "cache" / "private")
    assert private.folder(config) == tmp_path / "cache" / "private"
    older.is_over = True
    older.close()
    assert private.folder(config) == tmp_path / "data" / "private"
