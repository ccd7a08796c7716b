"""Writers that work while a run goes on: they end with it, and a run whose writer fails is paused."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.cli import foreground
from cluster.cli.live import Failed, Live
from cluster.cli.output import Target
from cluster.client.only_new import Keeper
from cluster.format import Format
from tests.kit.waiting import wait_until


class PlayedRun:
    """A run that gives one part, and then goes on until the test ends it."""

    id = "ocr-1a2b3c4d"
    other_reader = ""

    def __init__(self) -> None:
        self.job = SimpleNamespace(rounds=None, joins_by_name=True)
        self.done = threading.Event()
        self.paused = ""

    def parts(self, *, live: bool, on_wait: Callable[[], None]) -> Iterator[Any]:
        assert live
        yield {"a.png": "text"}
        while not self.done.wait(0.01):
            on_wait()

    def wait(self, *, on_wait: Callable[[], None]) -> Any:
        wait_until("the writer fails", lambda: on_wait())
        raise AssertionError("it went on")

    def nodes(self) -> list[Any]:
        return []

    def pages_of(self, document: str) -> int | None:
        return None

    def pause(self, why: str) -> None:
        self.paused = why

    def status(self, *, failures: bool = True) -> Any:
        return SimpleNamespace(
            run=self.id, rounds=None, items_failed=0, items_done=1, items_total=9, chunks_total=9, paused=self.paused,
        )  # fmt: skip


def into(folder: Path, write: Callable[..., None]) -> Target:
    return Target(Format(write, folder=True, live=True), folder, name="text-folder")


def full(parts: Iterator[Any], folder: Path) -> None:
    next(iter(parts))
    raise OSError(errno.ENOSPC, "No space left on device", str(folder / "a.txt"))


def test_a_writer_that_is_left_takes_nothing_for_whole(tmp_path: Path) -> None:
    seen: list[str] = []

    def write(parts: Iterator[Any], folder: Path) -> None:
        try:
            for part in parts:
                seen.extend(part)
            seen.append("the end")
        finally:
            seen.append("left")

    run: Any = PlayedRun()
    with Live(run, into(tmp_path, write)) as live:
        wait_until("it writes", lambda: seen)
        live.check()
    assert "the end" not in seen
    assert seen[-1:] == ["left"]


def test_a_writer_gets_all_before_its_run_is_concluded(tmp_path: Path) -> None:
    written: list[str] = []
    run: Any = PlayedRun()
    with Live(run, into(tmp_path, lambda parts, folder: written.extend(map(str, parts)))) as live:
        run.done.set()
        live.finish()
    assert written == ["{'a.png': 'text'}"]
    assert live.writes_result


def test_a_full_disk_pauses_the_run_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, c = PlayedRun(), SimpleNamespace(is_private=True, keeps=True)
    with pytest.raises(OSError, match="No space left"):
        foreground.to_end(c, run, into(tmp_path, full), quiet=True)  # type: ignore[arg-type]
    assert run.paused
    told = f"To go on: the same command, or `cluster resume {run.id} --format text-folder -o {tmp_path}`; to drop it"
    assert f"{run.id}: paused, 1 of 9 done. {told}" in capsys.readouterr().err


def test_nobody_is_told_to_replace_what_results_were_to_be_added_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, c = PlayedRun(), SimpleNamespace(is_private=True, keeps=True)
    to = into(tmp_path, full)._replace(keeper=Keeper(None, [], tmp_path))
    with pytest.raises(OSError, match="No space left"):
        foreground.to_end(c, run, to, quiet=True)  # type: ignore[arg-type]
    assert "To go on: the same command; to drop it" in capsys.readouterr().err


def test_what_waits_for_a_run_does_not_take_a_failed_writer_for_its_own_failure(tmp_path: Path) -> None:
    run: Any = PlayedRun()
    with Live(run, into(tmp_path, full)) as live, pytest.raises(Failed) as failed:
        wait_until("it fails", live.check)
    assert not isinstance(failed.value, Exception)
