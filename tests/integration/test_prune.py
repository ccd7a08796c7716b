"""What runs leave behind, and that it goes: of itself, or with ``cluster runs --prune``."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cluster import celery_app, errors, keys, settings
from cluster.coordinator import prune
from cluster.coordinator.cancel import cancel
from cluster.ledger import records
from cluster.ledger.lease import Lease, Split
from cluster.ledger.row import RunPolicy
from cluster.messaging import publish
from cluster.stores import Stores
from cluster.wire import ChunkEntry
from tests.kit.programs import RedisServer, Worker, admin, cluster
from tests.kit.soak import soak


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own: these tests count keys."""
    with RedisServer(tmp_path / "redis") as server:
        yield server.url


@pytest.fixture
def client(broker: str) -> redis.Redis:
    return admin(broker)


@pytest.fixture(params=["redis", "files"])
def all_stores(request: pytest.FixtureRequest, broker: str, tmp_path: Path) -> Stores:
    """Both kinds of blob store."""
    url = f"file://{tmp_path}/blobs" if request.param == "files" else None
    return Stores.connect(settings.load(broker_url=broker, blob_url=url))


def opened(stores: Stores) -> str:
    """A run with a chunk that is uploaded, a large part, a large partial and a blob that nothing refers to."""
    run = f"measure-{secrets.token_hex(4)}"
    stores.ledger.runs.create(run, "measure", "", {}, "test")
    lease = Lease.take(stores.ledger, run, "test", "splitter")
    [ref] = stores.blobs.put(keys.input_scope(run, 0), [b"input"])
    entry = ChunkEntry(batch=0, names=["a"], refs=[tuple(ref)], last=[True])
    lease.open_batch(Split(), [entry], {"b": "torn"}, 1)
    scopes = [keys.parts_scope(run, 0), keys.partial_scope(run, 0, 3), keys.input_scope(run, 99)]
    for scope in scopes:
        stores.blobs.put(scope, [b"large"])
    return run


def of_run(run: str, client: redis.Redis, folder: Path) -> set[str]:
    """Keys and files that bear the name of the run."""
    found = {key.decode() for key in client.scan_iter() if run.encode() in key}
    return found | {str(path) for path in folder.rglob("*") if run in str(path)}


def test_prune_takes_all_of_a_run_that_is_over_and_nothing_of_one_that_is_running(
    all_stores: Stores, client: redis.Redis, tmp_path: Path
) -> None:
    over, running = opened(all_stores), opened(all_stores)
    all_stores.ledger.runs.stop(over, "failed", "test")
    before = of_run(running, client, tmp_path)
    assert [run.run for run in prune.prune(all_stores, prune.ended(all_stores))] == [over]
    assert of_run(over, client, tmp_path) == set()
    assert of_run(running, client, tmp_path) == before
    assert len(before) >= 5
    with pytest.raises(errors.UnknownRun):
        all_stores.ledger.runs.status(over)
    assert [run.run for run in all_stores.ledger.runs.latest(10)] == [running]
    assert prune.prune(all_stores, prune.ended(all_stores)) == []


def test_a_run_that_is_running_when_it_comes_to_it_stays(stores: Stores) -> None:
    run = opened(stores)
    status = stores.ledger.runs.status(run)
    assert prune.prune(stores, [status]) == []
    assert stores.ledger.runs.progress(run).state == "running"


def test_prune_takes_what_an_expired_run_left_in_files(broker: str, client: redis.Redis, tmp_path: Path) -> None:
    stores = Stores.connect(settings.load(broker_url=broker, blob_url=f"file://{tmp_path}/blobs"))
    run, other = opened(stores), tmp_path / "blobs" / "runs" / "of-another-cluster"
    other.mkdir()
    client.delete(keys.run(run))  # as when it expires
    assert [status.run for status in stores.ledger.runs.latest(10)] == []
    prune.prune(stores, [])
    assert of_run(run, client, tmp_path / "blobs") == set()
    assert other.exists()


def test_only_runs_that_have_been_over_for_long_are_old(stores: Stores, broker: str) -> None:
    run = opened(stores)
    stores.ledger.runs.stop(run, "cancelled", "test")
    assert run in {status.run for status in prune.ended(stores)}
    assert run not in {status.run for status in prune.ended(stores, older_than_s=60)}


def test_messages_of_a_run_that_no_node_took_go_with_it(broker: str, client: redis.Redis) -> None:
    stores = Stores.connect(settings.load(broker_url=broker))
    app = celery_app.build(settings.load(broker_url=broker))
    over, running = opened(stores), opened(stores)
    for run in (over, running):
        for chunk in range(3):
            publish.publish_chunk(app, "measure", run, chunk, RunPolicy().limits)
    app.close()
    client.rpush(keys.queue("measure"), b"not one of ours", b"{}")
    cancel(over, stores, "test")
    prune.prune(stores, prune.ended(stores))
    waiting: Any = client.lrange(keys.queue("measure"), 0, -1)
    ids = [json.loads(message)["headers"]["id"] for message in waiting if b"headers" in message]
    assert sorted(ids) == [f"{running}.{chunk}" for chunk in range(3)]
    assert len(waiting) == 5


def test_the_command_removes_what_it_says_and_only_when_told_to(broker: str, tmp_path: Path) -> None:
    stores = Stores.connect(settings.load(broker_url=broker))
    over, running = opened(stores), opened(stores)
    stores.ledger.runs.stop(over, "cancelled", "test")
    asked = cluster("runs", "--prune", "--broker", broker)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "would remove 1 run with" in asked.stderr
    young = cluster("runs", "--prune", "--older-than", "1h", "--yes", "--json", "--broker", broker)
    assert json.loads(young.stdout) == []
    (tmp_path / "runs").mkdir()
    for run in (over, running):
        (tmp_path / "runs" / f"{run}.log").touch()
    cache = {"CLUSTER_CACHE_DIR": str(tmp_path)}
    done = cluster("runs", "--prune", "--yes", "--json", "--broker", broker, settings=cache)
    assert [run["run"] for run in json.loads(done.stdout)] == [over]
    assert [log.stem for log in (tmp_path / "runs").iterdir()] == [running]
    left = json.loads(cluster("runs", "--json", "--broker", broker).stdout)
    assert [run["run"] for run in left] == [running]
    again = cluster("runs", "--prune", "--yes", "--broker", broker)
    assert (again.returncode, again.stdout, "nothing to remove" in again.stderr) == (0, "", True)


def test_files_of_real_runs_stay_until_they_are_pruned(broker: str, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.txt").write_text("some words")
    store = {"CLUSTER_BLOB_URL": f"file://{tmp_path}/blobs", "CLUSTER_INLINE_BYTES": "0"}
    with Worker("filer", broker, tmp_path, "-c", "1", **store):
        done = cluster("submit", "--job", "measure", source, "--broker", broker, settings=store)
        assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "blobs" / "runs").iterdir()
    assert [path for path in folder.rglob("*") if path.is_file()]
    pruned = cluster("runs", "--prune", "--yes", "--broker", broker, settings=store)
    assert folder.name in pruned.stdout
    assert list((tmp_path / "blobs" / "runs").iterdir()) == []


def test_no_key_of_an_abandoned_run_lives_for_ever(broker: str, client: redis.Redis) -> None:
    stores = Stores.connect(settings.load(broker_url=broker))
    run = opened(stores)
    worker = records.Worker("n1", "incarnation")
    stores.ledger.chunks.claim(run, [0], worker)
    stores.ledger.chunks.end_attempt(run, 0, "failed", worker, "test")
    # What a node does that has not heard that the run is gone.
    stores.ledger.chunks.end_attempt("gone", 0, "failed", worker, "test")
    stores.ledger.runs.touch("gone")
    left: dict[str, Any] = {key.decode(): client.ttl(key) for key in client.scan_iter()}
    assert len(left) > 8
    assert {key for key, ttl in left.items() if ttl <= 0} == set()


def test_twenty_runs_leave_redis_where_it_began(tmp_path: Path) -> None:
    soak(tmp_path, 20)


@pytest.mark.parametrize("name", ["../../victim", "", "/victim", "\udcff"])
def test_what_is_no_name_of_a_run_removes_nothing(name: str, client: redis.Redis, broker: str, tmp_path: Path) -> None:
    """Whoever has the password may write anything among the runs."""
    store = f"file://{tmp_path}/blobs"
    client.zadd(keys.RUNS, {os.fsencode(name): 0})
    (tmp_path / "victim").mkdir()
    (tmp_path / "blobs/runs/living/in/0").mkdir(parents=True)
    setting = {"CLUSTER_BLOB_URL": store, "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    for arguments in (["runs"], ["runs", "--prune", "--yes"]):
        done = cluster(*arguments, "--broker", broker, settings=setting)
        assert done.returncode == 0, done.stderr
    client.zrem(keys.RUNS, os.fsencode(name))
    assert (tmp_path / "victim").is_dir()
    assert (tmp_path / "blobs/runs/living/in/0").is_dir()
