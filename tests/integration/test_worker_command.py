"""``cluster worker``, ``cluster flower`` and the Celery lines: which broker they use, and how they end without one."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cluster import errors, settings
from cluster.embedded import redis_server
from cluster.stores import Stores
from tests.kit.programs import LOOPBACK, cluster, environment, start_cluster
from tests.kit.waiting import line_with, wait_until

ELSEWHERE = f"redis://{LOOPBACK}:1/0"


def celery(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "celery", *arguments]
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("option", "instead"),
    [("--broker", "CLUSTER_BROKER_URL"), ("-b", "CLUSTER_BROKER_URL"), ("--result-backend", "CLUSTER_BROKER_URL"),
     ("--loader", "settings are those of cluster"), ("--config", "CLUSTER_CONFIG")],
)  # fmt: skip
@pytest.mark.parametrize("command", ["worker", "inspect"])
def test_an_option_of_celery_that_is_not_followed_is_refused(option: str, instead: str, command: str) -> None:
    done = celery(option, ELSEWHERE, "-A", "cluster", command, CLUSTER_BROKER_URL=ELSEWHERE)
    assert done.returncode == errors.UsageError.exit_code
    assert instead in done.stderr
    assert done.stderr.startswith("cluster: `celery -")
    assert done.stderr.count("\n") == 1


def celery_line(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return celery("-A", "cluster", *arguments, **more)


def cluster_line(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return cluster(*arguments, settings=more)


def test_a_worker_without_a_redis_that_lets_it_in_ends_with_code_4(broker: str) -> None:
    wrong = broker.replace("secret", "wrong")
    for line in (celery_line, cluster_line):
        assert line("worker").returncode == 4
        assert "no Redis answers" in line("worker", CLUSTER_BROKER_URL=ELSEWHERE).stderr
        refused = line("worker", CLUSTER_BROKER_URL=wrong)
        assert refused.returncode == 4
        assert "refuses the user or password" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_cluster_worker_does_as_celery_does_in_its_own_words(broker: str, tmp_path: Path) -> None:
    nodes = Stores.connect(settings.load(broker_url=broker)).nodes
    others = {"CELERY_BROKER_URL": ELSEWHERE, "CELERY_RESULT_BACKEND": "nowhere://", "BROKER_URL": "amqp://nowhere"}
    (tmp_path / "a.txt").write_text("some words")
    arguments = ("worker", "-n", "office@test", "-c", "2", "--broker", broker, "--log-format", "json")
    with start_cluster(*arguments, settings=others) as worker:
        wait_until("it is online", lambda: [(one.name, one.slots) for one in nodes.nodes()] == [("office@test", 2)])
        done = cluster("submit", "--job", "measure", tmp_path / "a.txt", "--broker", broker, settings=others)
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=30)
    assert done.returncode == 0, done.stderr
    assert worker.returncode == 0
    assert "[queues]" not in err
    assert '"event": "node-ready"' in err


def test_cluster_flower_asks_for_a_password_in_any_case(broker: str) -> None:
    pytest.importorskip("flower")
    port = redis_server.free_port(LOOPBACK)
    with start_cluster("flower", "--port", str(port), "--broker", broker) as flower:
        try:
            assert flower.stderr
            said = line_with("user and password: cluster:", flower.stderr)
            wait_until("it asks", lambda: status_of(port, "") == 401)
            assert status_of(port, said.split()[-1]) == 200
        finally:
            flower.kill()


def status_of(port: int, auth: str) -> int:
    """What a page answers to somebody with this user and password, 0 while it is not there."""
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}/tasks")
    request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
