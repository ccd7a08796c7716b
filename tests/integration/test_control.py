"""Remote control stays within what the owner of a machine has set, and says what it does not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest
from celery import Celery

from cluster import celery_app, errors, keys, settings
from cluster.stores import Stores
from cluster.worker import control
from tests.kit.programs import RedisServer, Worker
from tests.kit.waiting import wait_until

NODE = "one@test"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worker, Celery]]:
    folder = tmp_path_factory.mktemp("control")
    with (
        RedisServer(folder / "redis") as server,
        Worker("one", server.url, folder, "-c", "2") as one,
        closing(celery_app.build(settings.load(broker_url=server.url))) as app,
    ):
        nodes = Stores.connect(settings.load(broker_url=server.url)).nodes
        wait_until("the node is known", nodes.nodes)
        # A broadcast reaches only who listens already, which a node on a busy machine may not when it is known.
        wait_until("the node listens", lambda: app.control.ping(destination=[NODE], timeout=1))
        yield one, app


def ask(app: Celery, method: str, **arguments: Any) -> Any:
    """A node's answer, or the reason why it does not do it."""
    [answers] = app.control.broadcast(method, arguments=arguments, destination=[NODE], reply=True, timeout=10)
    found = answers[NODE]
    return found["error"] if isinstance(found, dict) and "error" in found else found


def test_a_pool_grows_no_further_than_its_owner_set(worker: tuple[Worker, Celery]) -> None:
    one, app = worker
    processes = len(psutil.Process(one.process.pid).children())
    assert "the node has its 2 slots; the owner of the machine sets" in ask(app, "pool_grow", n=60)
    assert ask(app, "pool_shrink", n=60) == {"ok": "pool will shrink by 1, to 1 of 2 slots"}
    wait_until("one process ends", lambda: len(psutil.Process(one.process.pid).children()) == processes - 1)
    assert "the node keeps one slot" in ask(app, "pool_shrink", n=1)
    assert ask(app, "pool_grow", n=60) == {"ok": "pool will grow by 1, to 2 of 2 slots"}
    wait_until("it is back", lambda: len(psutil.Process(one.process.pid).children()) == processes)
    for wrong in (0, -1, "many", 1.5, True):
        assert "is no number of slots" in ask(app, "pool_shrink", n=wrong)


def test_only_queues_of_labels_it_serves_are_consumed(worker: tuple[Worker, Celery]) -> None:
    _, app = worker
    ours = keys.queue("measure")

    def consumed() -> set[str]:
        return {queue["name"] for queue in ask(app, "active_queues")}

    before = consumed()
    for other in ("celery", "cluster.none", keys.RUNS):
        assert f"{other} is the queue of no capability that the node serves" in ask(app, "add_consumer", queue=other)
    assert "no exchange and no options" in ask(app, "add_consumer", queue=ours, exchange="x", exchange_type="fanout")
    assert ask(app, "cancel_consumer", queue=ours) == {"ok": f"no longer consuming from {ours}"}
    wait_until("it is not consumed", lambda: consumed() == before - {ours})
    assert "does not consume" in ask(app, "cancel_consumer", queue=ours)
    assert ask(app, "add_consumer", queue=ours, exchange_type="direct") == {"ok": f"add consumer {ours}"}
    wait_until("it is consumed again", lambda: consumed() == before)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("time_limit", {"task_name": "cluster.measure", "hard": 1.0, "soft": 1.0}),
        ("rate_limit", {"task_name": "cluster.measure", "rate_limit": "1/h"}),
        ("autoscale", {"max": 60, "min": 60}),
        ("pool_restart", {"modules": ["this"], "reload": True}),
        ("revoke", {"task_id": ["a"], "terminate": True, "signal": "SIGSTOP"}),
        ("terminate", {"task_id": ["a"], "signal": "KILL"}),
        ("revoke_by_stamped_headers", {"headers": {"a": "b"}, "terminate": True}),
        ("election", {"id": "a", "topic": "b"}),
        ("hello", {"from_node": "a", "revoked": ["measure-1.0"]}),
        ("objgraph", {"num": 1}),
        ("memsample", {}),
        ("no_such_command", {}),
    ],
)
def test_what_would_change_an_owners_settings_is_refused(
    method: str, arguments: dict[str, Any], worker: tuple[Worker, Celery]
) -> None:
    one, app = worker
    assert ask(app, method, **arguments) == control.REFUSED.get(method, "a node of this cluster does not do that")
    assert f"remote control: {method} is refused" in one.text()


def test_odd_arguments_of_a_command_are_an_answer(worker: tuple[Worker, Celery]) -> None:
    one, app = worker
    assert "unhashable" in ask(app, "query_task", ids=[{"a": 1}])
    assert ask(app, "ping") == {"ok": "pong"}
    assert ask(app, "stats")["pool"]["max-concurrency"] == 2
    assert "Traceback" not in one.text()


def test_to_revoke_a_chunk_says_what_to_type_instead(worker: tuple[Worker, Celery]) -> None:
    _, app = worker
    with pytest.raises(errors.UsageError, match="cluster cancel RUN"):
        app.control.revoke("measure-1.0", terminate=True)


def test_a_node_shuts_down_when_it_is_asked_to(worker: tuple[Worker, Celery]) -> None:
    one, app = worker
    app.control.shutdown(destination=[NODE], msg="x" * 10)
    wait_until("it has ended", lambda: one.process.poll() is not None)
    assert one.process.returncode == 0
