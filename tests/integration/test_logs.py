"""The log of a real worker, and log lines beside a progress bar."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

from cluster.names import TaskId
from tests.kit.inputs import texts
from tests.kit.programs import Worker, cluster, environment
from tests.kit.waiting import wait_until


def test_a_worker_writes_json_to_a_rotated_file_and_names_itself_in_each_line(redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "node.log"
    worker = Worker(
        "logger", redis_url, tmp_path, "-c", "2", "--loglevel", "DEBUG", "--log-format", "json",
        CLUSTER_LOG_FILE=str(path), CLUSTER_LOG_MAX_BYTES="4096", CLUSTER_LOG_BACKUPS="1000",
    ).start()  # fmt: skip
    try:
        wait_until("it is ready", lambda: "logger@test ready." in text(path))
        done = cluster("submit", "--job", "measure", texts(tmp_path / "in", 60), "--broker", redis_url)
        assert done.returncode == 0, done.stderr
        run = done.stderr.strip().splitlines()[-1].partition(":")[0]
        worker.process.terminate()
        assert worker.process.wait(20) == 0
    finally:
        worker.kill()
    lines = [json.loads(line) for line in text(path).splitlines()]
    assert {line["node"] for line in lines} == {"logger@test"}
    assert len(list(path.parent.iterdir())) > 5
    # Received in the main process, succeeded in a child.
    for word in ("received", "succeeded"):
        told = [line["message"] for line in lines if f"[{run}." in line["message"] and word in line["message"]]
        ids = {message.partition("[")[2].partition("]")[0] for message in told}
        chunks = {chunk for about in map(TaskId.parse, ids) if about for chunk in about.units}
        assert chunks >= set(range(60)), word
    events = [line["event"] for line in lines if line["event"] in ("node-ready", "node-left")]
    assert events == ["node-ready", "node-left"]


def text(path: Path) -> str:
    """The file and all that it was moved to, oldest first."""
    files = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    found = ""
    for file in [*files, path]:
        with contextlib.suppress(FileNotFoundError):  # while it is being moved on
            found += file.read_text()
    return found


def test_a_worker_says_as_text_what_changes_and_not_what_each_task_does(redis_url: str, tmp_path: Path) -> None:
    worker = Worker("talker", redis_url, tmp_path)
    with worker:
        done = cluster("submit", "--job", "measure", texts(tmp_path / "in", 3), "--broker", redis_url)
        assert done.returncode == 0, done.stderr
        worker.process.terminate()
        worker.process.wait(20)
    assert " INFO talker@test: this node takes work: slots " in worker.text()
    assert " INFO talker@test: this node has left" in worker.text()
    assert "received" not in worker.text()
    assert "succeeded in" not in worker.text()


LIVE = """
import logging
from datetime import UTC, datetime
from cluster import logs, settings
from cluster import celery_app
from cluster.cli.progress import LiveView
from cluster.ledger.status import Status

numbers = ("items_total items_done items_failed chunks_total chunks_published chunks_settled chunks_running"
           " duplicates retries").split()
status = Status(run="ocr-1", job="ocr", state="running", failures=[], nodes={}, options={}, submitter="", error=None,
                version="", requirement="ocr", role=None,
                rejections={}, coordinator=None, started_at=datetime.now(UTC), finished_at=None, seconds=1.0,
                **dict.fromkeys(numbers, 1))
logs.set_up(settings.load(), logging.INFO)
view = LiveView()
view.show(status, "half")
logging.getLogger("cluster.test").warning("a line of the log")
view.show(status, "more")
view.close()
"""


def test_a_line_of_the_log_stands_alone_above_the_progress_bar() -> None:
    ours, theirs = pty.openpty()
    settings = {**environment(), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", LIVE], stderr=theirs, env=settings) as program:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
    os.close(ours)
    assert program.returncode == 0, seen.decode()
    [line] = [row for row in seen.replace(b"\r", b"\n").split(b"\n") if b"a line of the log" in row]
    # Before it there is only what clears the bar.
    assert b"ocr-1" not in line
    assert line.endswith(b"WARNING a line of the log")
