"""Log lines: their form, and a file that many processes write while it is rotated."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster import logs, settings
from tests.kit.waiting import wait_until


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("cluster")
    before = (root.handlers[:], root.level, ours.level)
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:], root.level, ours.level = before


def record(message: str, *arguments: Any, exc_info: Any = None, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("cluster.test")
    return logger.makeRecord(logger.name, logging.WARNING, "f", 1, message, arguments, exc_info, extra=extra)


def parsed(line: str) -> dict[str, Any]:
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_json_is_one_object_a_line_with_what_it_is_about() -> None:
    made = record("chunk %s failed", 3, event="chunk-failed", run="ocr-1", chunk=3, node="b@y")
    found = parsed(logs.JsonFormatter("a@x").format(made))
    assert datetime.fromisoformat(found.pop("time")) == datetime.fromtimestamp(int(made.created * 1000) / 1000, UTC)
    assert found == {
        "level": "WARNING",
        "logger": "cluster.test",
        "event": "chunk-failed",
        "run": "ocr-1",
        "chunk": 3,
        "node": "b@y",
        "message": "chunk 3 failed",
    }


def test_json_of_a_line_about_nothing_names_the_node_that_wrote_it() -> None:
    found = parsed(logs.JsonFormatter("a@x").format(record("hello")))
    assert (found["event"], found["run"], found["chunk"], found["node"]) == (None, None, None, "a@x")


def test_json_holds_a_traceback_and_any_text() -> None:
    try:
        raise ValueError("two\nlines \udcff")
    except ValueError:
        found = parsed(logs.JsonFormatter().format(record("torn \udcff\n", exc_info=sys.exc_info())))
    assert found["message"] == "torn \udcff\n"
    assert "Traceback" in found["exc"]
    assert "ValueError: two\nlines" in found["exc"]


def test_text_is_one_line_that_cannot_steer_a_terminal() -> None:
    line = logs.TextFormatter("a@x").format(record("item %s", "\x1b[2J\nevil", event="e"))
    moment, _, rest = line.partition(" WARNING ")
    datetime.strptime(moment, "%Y-%m-%d %H:%M:%S")
    assert rest == "a@x: item \\x1b[2J\\nevil"


def test_lines_go_to_what_stderr_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up(settings.load(), logging.INFO)
    now = io.StringIO()
    monkeypatch.setattr("sys.stderr", now)
    logging.getLogger("cluster.test").info("ours")
    logging.getLogger("celery.worker.strategy").warning("theirs")
    logging.getLogger("celery.worker").info("theirs, of little weight")
    assert [line.partition("INFO")[2] or line.partition("WARNING")[2] for line in now.getvalue().splitlines()] == [
        " ours",
        " theirs",
    ]


@pytest.mark.parametrize(("level", "lines"), [(logging.INFO, 0), (logging.DEBUG, 1)])
def test_lines_about_each_task_come_only_when_all_is_asked_for(
    level: int, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = io.StringIO()
    monkeypatch.setattr("sys.stderr", now)
    logs.set_up(settings.load(), level, others=level)
    logging.getLogger("celery.app.trace").info("Task succeeded")
    assert len(now.getvalue().splitlines()) == lines


def test_a_command_that_people_watch_says_less_than_one_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up_command(settings.load(), "submit", None)
    assert not logging.getLogger("cluster.x").isEnabledFor(logging.INFO)
    logs.set_up_command(settings.load(), "master", None)
    assert logging.getLogger("cluster.x").isEnabledFor(logging.INFO)
    monkeypatch.setenv("CLUSTER_LOG_LEVEL", "ERROR")
    logs.set_up_command(settings.load(), "master", None)
    assert not logging.getLogger("cluster.x").isEnabledFor(logging.WARNING)


FORK = multiprocessing.get_context("fork")
WRITERS, LINES = 4, 2500


def write(name: str, lines: int) -> None:
    for at in range(lines):
        # Some are longer than the pieces in which a stream is written by default.
        logging.getLogger("cluster.test").info("%s %s %s", name, at, "x" * (20_000 if at % 50 == 0 else 50))


def all_lines(path: Path) -> list[dict[str, Any]]:
    files = [*sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:])), path]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_no_line_is_lost_or_torn_when_many_processes_write_a_file_that_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "node.log"
    config = settings.load(log_file=path, log_format="json", log_max_bytes=40_000, log_backups=1000)
    logs.set_up(config, logging.INFO)
    children = [FORK.Process(target=write, args=(str(number), LINES)) for number in range(WRITERS - 1)]
    for child in children:
        child.start()
    write("parent", LINES)
    for child in children:
        child.join()
        assert child.exitcode == 0
    found = [tuple(line["message"].split()[:2]) for line in all_lines(path)]
    names = ["parent", *(str(number) for number in range(WRITERS - 1))]
    assert sorted(found) == sorted((name, str(at)) for name in names for at in range(LINES))
    backups = list(path.parent.glob("node.log.*"))
    assert len(backups) > 10
    assert all(file.stat().st_size >= 40_000 for file in backups), "one was moved before it was full"


def test_only_so_many_old_files_are_kept_and_the_latest_is_the_first(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    logs.set_up(settings.load(log_file=path, log_format="json", log_max_bytes=1024, log_backups=2), logging.INFO)
    for at in range(4):
        logging.getLogger("cluster.test").info("%s %s", at, "x" * 1024)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["node.log.1", "node.log.2"]
    assert '"message": "3 ' in path.with_name("node.log.1").read_text()
    assert '"message": "2 ' in path.with_name("node.log.2").read_text()


def test_a_process_stopped_anywhere_blocks_no_other(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    logs.set_up(settings.load(log_file=path, log_format="json", log_max_bytes=2048, log_backups=3), logging.INFO)
    child = FORK.Process(target=write, args=("child", 10**9))
    child.start()
    assert child.pid is not None
    try:
        for _ in range(20):
            wait_until("the child writes", lambda: "child" in text_of(tmp_path))
            os.kill(child.pid, signal.SIGSTOP)
            write("parent", 20)
            assert "parent 19" in text_of(tmp_path)
            os.kill(child.pid, signal.SIGCONT)
    finally:
        child.kill()
        child.join()


def text_of(folder: Path) -> str:
    """All log files, of which some may be moved while we look."""
    found = []
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(file.read_text())
    return "".join(found)


def test_a_file_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        logs.set_up(settings.load(log_file=tmp_path / "file" / "node.log"), logging.INFO)


EVIL = "evil\x1b[2J\x9b31m\u202e\rFORGED\nFORGED"


def test_no_line_of_a_traceback_can_steer_a_terminal() -> None:
    try:
        raise RuntimeError(EVIL)
    except RuntimeError:
        line = logs.TextFormatter(EVIL).format(record("%s", EVIL, exc_info=sys.exc_info()))
    assert all(part.isprintable() for part in line.split("\n"))


def test_what_an_error_quotes_never_begins_a_line() -> None:
    assert logs.of_error(f"no such run\n  {EVIL}").split("\n") == [
        "no such run", "  evil\\x1b[2J\\x9b31m\\u202e\\rFORGED", "  FORGED"
    ]  # fmt: skip


def test_json_made_plain_has_the_same_value() -> None:
    value = {EVIL: ["\U000e0001 \x7f", 1], "ü": '"\\'}
    told = logs.plain_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(told) == value
    assert told.replace("\n", "").isprintable()
    assert '"ü"' in told
