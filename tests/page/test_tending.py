"""How the page looks after its uploads: what it drops, what it goes on after, when it gives a run up."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.client.submission import log_folder
from cluster.web import forgetting
from cluster.web.spool import Spool
from cluster.web.tending import IDLE_S, MOST_STARTS, Tending
from splitters.spool import ORDER
from tests.kit.waiting import wait_until


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def tending(spool: Spool, **client: Any) -> Tending:
    return Tending(SimpleNamespace(spool=spool, client=SimpleNamespace(**client)))  # type: ignore[arg-type]


def test_an_upload_that_cannot_be_read_is_dropped_in_time(spool: Spool) -> None:
    upload = spool.begin("maria")
    digest = upload.put("a.txt", b"one").sha256
    order = upload.folder / ORDER
    order.write_bytes(order.read_bytes() + b"half a li{}\n")
    dropped: list[object] = []
    again = Spool(spool.folder, on_drop=dropped.append)
    tending(again).look()
    assert [(one.user, one.is_readable) for one in again.listed("maria")] == [("maria", False)]
    old = time.time() - IDLE_S - 1
    os.utime(order, (old, old))
    tending(again).look()
    assert (list(spool.folder.iterdir()), dropped) == ([], [{digest}])


def test_an_upload_dropped_meanwhile_does_not_stop_the_rest(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    old, gone = spool.begin("maria"), spool.begin("maria")
    os.utime(old.folder / ORDER, (0, 0))
    listed = spool.listed()
    spool.drop(gone.id)
    monkeypatch.setattr(spool, "listed", lambda: sorted(listed, key=lambda about: about.id != gone.id))
    tending(spool).look()
    assert list(spool.folder.iterdir()) == []


def test_a_look_that_fails_is_followed_by_another(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def listed() -> list[Any]:
        looks.append(1)
        raise RuntimeError

    monkeypatch.setattr(spool, "listed", listed)
    monkeypatch.setattr("cluster.web.tending.LOOK_S", 0.01)
    tended = tending(spool)
    tended.start()
    wait_until("a second look", lambda: len(looks) > 1, timeout_s=10)
    tended.stop()


def test_what_runs_have_left_is_swept_though_nobody_looks(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[Any] = []
    monkeypatch.setattr(forgetting, "sweep", swept.append)
    tended = tending(spool)
    tended.start()
    wait_until("a sweep", lambda: swept, timeout_s=10)
    tended.stop()


UNREAD = SimpleNamespace(
    run="ocr-1", state="running", chunks_total=None, chunks_published=7, coordinator=None, role="", started_at=None,
    paused="",
)  # fmt: skip
"""The status of a run whose input nobody reads."""


@pytest.fixture
def unread(spool: Spool) -> None:
    """An upload of such a run."""
    spool.begin("maria").add_run("ocr-1")


def test_a_further_run_of_an_upload_at_rest_is_tended(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = spool.begin("maria")
    upload.add_run("ocr-1")
    upload.close()
    looked: list[str] = []
    started: list[str] = []

    def run(id: str) -> Any:
        looked.append(id)
        state = "done" if id == "ocr-1" else "running"
        status = SimpleNamespace(**vars(UNREAD) | {"run": id, "state": state})
        return SimpleNamespace(status=lambda failures: status)

    monkeypatch.setattr(
        "cluster.web.tending.submission.leave_to_background", lambda client, run, inputs: started.append(run)
    )
    tended = tending(spool, run=run)
    tended.look()
    tended.look()
    assert looked == ["ocr-1"]
    upload.add_run("ocr-2")
    tended.look()
    assert started == ["ocr-2"]


@pytest.mark.usefixtures("unread")
def test_a_run_whose_readers_read_on_goes_on(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    status = SimpleNamespace(**vars(UNREAD) | {"chunks_published": 0})

    def start(client: object, run: str, inputs: object) -> Any:
        status.chunks_published += 1
        return SimpleNamespace(poll=lambda: 1)

    monkeypatch.setattr("cluster.web.tending.submission.leave_to_background", start)
    monkeypatch.setattr("cluster.web.tending.START_S", 0.0)
    tended = tending(spool, run=lambda run: SimpleNamespace(status=lambda failures: status))
    for _ in range(2 * MOST_STARTS):
        tended.look()
    assert status.chunks_published == 2 * MOST_STARTS


@pytest.mark.usefixtures("unread")
def test_a_run_whose_reader_ends_each_time_fails(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_folder(SimpleNamespace(cache_folder=tmp_path / "cache")) / "ocr-1.log"  # type: ignore[arg-type]
    log.parent.mkdir(parents=True)
    started: list[str] = []
    failed: dict[str, str] = {}

    def start(client: object, run: str, inputs: object) -> Any:
        started.append(run)
        log.write_text(f"first\nsecond\nthird\n\nMemoryError {len(started)}\n")
        return SimpleNamespace(poll=lambda: 1)

    monkeypatch.setattr("cluster.web.tending.submission.leave_to_background", start)
    monkeypatch.setattr("cluster.web.tending.START_S", 0.0)
    tended = tending(
        spool,
        run=lambda run: SimpleNamespace(status=lambda failures: UNREAD),
        config=SimpleNamespace(cache_folder=tmp_path / "cache"),
        session=SimpleNamespace(fail=failed.__setitem__),
    )
    for _ in range(MOST_STARTS):
        tended.look()
    assert (len(started), failed) == (MOST_STARTS, {})
    tended.look()
    assert len(started) == MOST_STARTS
    assert failed == {"ocr-1": "what reads its files ended 5 times: second; third; MemoryError 5"}


@pytest.mark.usefixtures("unread")
def test_a_reader_that_starts_slowly_is_waited_for(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int | None] = [None]
    started: list[str] = []

    def start(client: object, run: str, inputs: object) -> Any:
        started.append(run)
        return SimpleNamespace(poll=lambda: ended[0])

    monkeypatch.setattr("cluster.web.tending.submission.leave_to_background", start)
    monkeypatch.setattr("cluster.web.tending.START_S", 0.0)
    tended = tending(spool, run=lambda run: SimpleNamespace(status=lambda failures: UNREAD))
    for _ in range(MOST_STARTS + 1):
        tended.look()
    assert len(started) == 1
    ended[0] = -9
    tended.look()
    assert len(started) == 2
    ended[0] = None
    monkeypatch.setattr("cluster.web.tending.HANGS_S", 0.0)
    tended.look()
    assert len(started) == 3
