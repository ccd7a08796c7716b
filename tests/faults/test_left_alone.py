"""Runs that nobody coordinates any more: what the nodes, and a master, still bring to an end."""

from __future__ import annotations

import json
import secrets
import signal
from contextlib import closing
from pathlib import Path

import pytest

from cluster import catalog, celery_app, keys, settings
from cluster.bundles import requirements
from cluster.coordinator.master import Master
from cluster.stores import Stores
from tests.kit.programs import Worker, cluster, start_cluster
from tests.kit.waiting import wait_until


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: other tests have nodes, too."""
    return broker


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for at in range(2):
        (tmp_path / "in" / f"{at}.txt").write_text("some words")
    return tmp_path / "in"


def test_a_run_whose_last_chunk_cannot_be_interrupted_ends_all_the_same(
    redis_url: str, stores: Stores, source: Path, tmp_path: Path
) -> None:
    (source / "deaf.txt").write_text("sleep deaf")
    limits = {"CLUSTER_CHUNK_TIME_LIMIT_S": "2", "CLUSTER_CHUNK_TIME_GRACE_S": "1"}
    arguments = ("submit", "--job", "measure", "--trace", tmp_path / "trace", source, "--broker", redis_url)
    with Worker("one", redis_url, tmp_path, "-c", "2"), start_cluster(*arguments, settings=limits) as submit:
        wait_until("it is begun", lambda: (tmp_path / "trace").exists() and "deaf" in (tmp_path / "trace").read_text())
        run = stores.ledger.runs.latest(1)[0].run
        wait_until("the input is read", lambda: stores.ledger.runs.progress(run).split_ended)
        submit.send_signal(signal.SIGKILL)
        done = cluster("result", run, "--wait", "--broker", redis_url)
    assert done.returncode == 3, done.stderr
    assert "deaf.txt: took longer than 3 s and could not be interrupted" in done.stderr
    assert sorted(json.loads(done.stdout)) == ["0.txt", "1.txt"]


def test_a_master_publishes_a_model_although_it_works_with_the_packages_of_another(
    redis_url: str, stores: Stores, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"tag-{secrets.token_hex(4)}"
    arguments = ("submit", "--job", "tag-train", source, "--model", name, "--detach", "--broker", redis_url)
    with Worker("one", redis_url, tmp_path, "-c", "1"):
        begun = cluster(*arguments, settings={"CLUSTER_CACHE_DIR": str(tmp_path / "cache")})
        assert begun.returncode == 0, begun.stderr
        run = begun.stdout.strip()
        assert cluster("result", run, "--wait", "--broker", redis_url).returncode == 0
    wait_until("its submitter is done, too", lambda: not stores.redis.exists(keys.run(run, "publishing")))
    stores.models.bundles.remove(name)
    stores.redis.hdel(keys.run(run), "report")  # as if its submitter had died before it could tell
    monkeypatch.setattr(requirements, "_active", [tmp_path / "packages of another"])
    config = settings.load(broker_url=redis_url)
    with closing(celery_app.build(config)) as app:
        Master(app, stores, config, "a test")._publish(catalog.get("tag-train"), run)
    assert stores.models.bundles.state(name).current
    assert stores.ledger.reports.of(run) is not None
