"""Programs that tests start by a fork behave as those that a person starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kit import forking
from tests.kit.programs import environment, program
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.skipif(not forking.can_fork(environment()), reason="this system has no pidfd_open")
SAYS = """
import os, sys
print(sys.stdin.read(), os.environ["CLUSTER_TEST_WORD"], os.getcwd(), sys.argv[1:], sys.path[0], __name__)
print("beside", file=sys.stderr)
sys.exit({"a": 3, "b": "a sentence"}[sys.argv[1]])
"""


@pytest.mark.parametrize("argument", ["a", "b"])
def test_a_fork_has_its_own_streams_environment_folder_and_exit_code(argument: str, tmp_path: Path) -> None:
    (tmp_path / "says.py").write_text(SAYS)
    answers = []
    for by_fork in (True, False):
        pipe = subprocess.PIPE
        with program(
            [sys.executable, "-m", "says", argument], environment(CLUSTER_TEST_WORD="word"), by_fork=by_fork,
            cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe,
        ) as process:  # fmt: skip
            answers.append((*process.communicate("given", timeout=30), process.wait()))
    assert answers[0] == answers[1]
    assert answers[0][0].startswith(f"given word {tmp_path}")


def test_a_fork_that_is_killed_has_ended_by_that_signal(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("print('here', flush=True)\nimport time\ntime.sleep(100)")
    with program(
        [sys.executable, "-m", "waits"], environment(), cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert isinstance(process, forking.Forked)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert process.poll() is None
        assert os.getsid(process.pid) == process.pid
        process.kill()
        wait_until("it has ended", lambda: process.poll() is not None)
    assert process.returncode == -signal.SIGKILL


def test_what_was_forked_ends_with_the_process_that_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = "import subprocess, time; subprocess.Popen(['sleep', '60']); print('here', flush=True); time.sleep(60)"
    (tmp_path / "starts.py").write_text(start)
    connection = forking._server.__wrapped__()
    monkeypatch.setattr(forking, "_server", lambda: connection)
    with program(
        [sys.executable, "-m", "starts"], environment(), cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        connection.close()  # as by the end of this process
        wait_until("it has ended", lambda: process.poll() is not None)
        with ThreadPoolExecutor(1) as thread:
            said = thread.submit(process.stdout.read).result(30)
    assert said == "", "its child, which has the stream, too, has ended"
