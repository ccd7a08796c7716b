"""A version beside the one before in one Redis: neither touches what the other wrote, and models are taken over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from cluster import errors, keys
from cluster.blobs import BlobStore
from cluster.blobs.files import FileBlobs
from cluster.blobs.redis import RedisBlobs
from cluster.bundles.content import Content
from cluster.bundles.redis import RedisBundles
from cluster.bundles.state import State
from cluster.client import existing
from cluster.coordinator import prune
from cluster.stores import Stores
from tests.kit import older
from tests.kit.programs import RedisServer, Worker, admin, cluster, emptied


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: what lies there would be found by other tests."""
    return broker


@pytest.fixture
def stores(redis_url: str) -> Stores:
    return emptied(redis_url)


@pytest.fixture
def client(redis_url: str, stores: Stores) -> redis.Redis:
    return admin(redis_url)


def dumped(client: redis.Redis) -> dict[bytes, Any]:
    """All that the version before has written."""
    return {key: client.dump(key) for pattern in ("cluster:*", "cluster.*") for key in client.scan_iter(pattern)}


def blob_store(kind: str, client: redis.Redis, folder: Path) -> BlobStore:
    return RedisBlobs(client) if kind == "redis" else FileBlobs(f"file://{folder}")


def test_nodes_of_an_older_version_are_named(client: redis.Redis, redis_url: str) -> None:
    older.at_work(client)
    done = cluster("nodes", "--broker", redis_url)
    assert done.stdout.startswith("no nodes")
    told = "old@pc: an older version (0.1) that takes none of these runs; update `cluster` there and start its worker"
    assert [line for line in done.stderr.splitlines() if "older" in line] == [f"{told} again"]
    assert cluster("nodes", "--json", "--broker", redis_url).stdout == "[]\n"


def test_a_submit_waits_for_no_older_node(client: redis.Redis, redis_url: str, tmp_path: Path) -> None:
    older.at_work(client)
    (tmp_path / "a.txt").write_text("x")
    done = cluster("submit", "--job", "measure", tmp_path, "--if-no-node", "fail", "--broker", redis_url)
    assert done.returncode == errors.JobUnavailable.exit_code
    assert "no node of this cluster can do the job measure (0 nodes online" in done.stderr
    assert "\n  old@pc: an older version (0.1)" in done.stderr
    assert older.GONE not in done.stderr
    assert older.LEFT not in done.stderr


def test_running_runs_of_an_older_version_are_told(client: redis.Redis, stores: Stores, redis_url: str) -> None:
    older.at_work(client)
    assert [*stores.ledger.runs.older()] == [older.RUNNING, older.ORPHAN]
    done = cluster("runs", "--broker", redis_url)
    assert [run for run in (older.RUNNING, older.ORPHAN, older.DONE) if run in done.stderr] == [
        *stores.ledger.runs.older()
    ]
    assert stores.ledger.runs.latest(10) == []


def test_a_master_says_which_runs_it_leaves_alone(
    client: redis.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    older.at_work(client)
    with existing(redis_url) as c, c.master(patient=False):
        pass
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [run for run in (older.RUNNING, older.ORPHAN, older.DONE) if run in str(told)] == [*c.older_runs()]
    assert "was begun with version 0.1 of `cluster`" in told[0]


@pytest.mark.parametrize("command", ["resume", "cancel"])
def test_an_older_run_says_which_version_it_needs(
    command: str, client: redis.Redis, redis_url: str, stores: Stores
) -> None:
    older.at_work(client)
    before = dumped(client)
    done = cluster(command, older.RUNNING, "--broker", redis_url)
    assert done.returncode == errors.UnknownRun.exit_code
    assert f"the run {older.RUNNING} was begun with version 0.1 of `cluster`" in done.stderr
    with pytest.raises(errors.UnknownRun, match=f"the run {older.DONE} was begun with version 0.1"):
        stores.ledger.runs.status(older.DONE)
    assert dumped(client) == before


def test_older_keys_and_messages_stay_as_they_are(
    client: redis.Redis, stores: Stores, redis_url: str, tmp_path: Path
) -> None:
    older.at_work(client)
    older.pushed(client)
    before = dumped(client)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    with Worker("new", redis_url, tmp_path, "-c", "1", "-Q", "measure,tagged") as worker:
        done = cluster("submit", "-q", "--job", "measure", tmp_path / "in", "--broker", redis_url)
        assert json.loads(done.stdout) == {"a.txt": "1"}
        prune.prune(stores, prune.ended(stores))
        assert "refused" not in worker.text()
    assert dumped(client) == before
    left = {key for key in client.scan_iter("*") if not key.startswith((b"cluster:", b"cluster."))}
    assert all(key.startswith((b"cluster2", b"_kombu", b"celery-task")) for key in left), left


@pytest.mark.parametrize("kind", ["redis", "files"])
def test_models_of_an_older_version_are_taken_over(kind: str, client: redis.Redis, tmp_path: Path) -> None:
    store = blob_store(kind, client, tmp_path)
    older.pushed(client, pieces=kind == "redis")
    if kind == "files":
        for version, tag in older.TAGS.items():
            store.put(older.SCOPES[version], [tag])
    bundles = RedisBundles(client, store)
    revision = bundles.revision()
    assert bundles.take_over() == {}
    assert bundles.revision() > revision
    assert int(client.get(keys.REVISION) or 0) == 1  # so nodes look
    assert bundles.names() == ["office"]
    assert bundles.state("office") == State(2, 2, 1)
    for manifest in bundles.versions("office"):
        assert manifest.digest == older.DIGESTS[manifest.version]
        assert bundles.read(manifest, next(manifest.files[0].refs())) == older.TAGS[manifest.version]
        assert client.ttl(keys.blobs(manifest.scope)) == (-1 if kind == "redis" else -2)
    assert not [key for key in client.scan_iter("cluster:b*") if key != b"cluster:bundles"]
    before = {key: client.dump(key) for key in client.scan_iter("cluster2:*")}
    assert bundles.take_over() == {}
    assert {key: client.dump(key) for key in client.scan_iter("cluster2:*")} == before
    again = bundles.push("office", Content("tagged", {"tag.txt": b"blue"}), "a test")
    assert (again.manifest.version, again.new, again.current) == (2, False, 1)


def test_a_model_is_taken_over_where_it_is_missed(client: redis.Redis, stores: Stores) -> None:
    older.pushed(client)
    assert stores.models.bundles.manifest("office").version == 1
    with pytest.raises(errors.UnknownBundle, match="no version 7"):
        stores.models.bundles.manifest("office", 7)


def test_nodes_take_older_models_over_when_they_look(client: redis.Redis, stores: Stores) -> None:
    older.pushed(client)
    assert [manifest.ref for manifest in stores.models.current()] == ["office:1"]


def test_a_push_goes_on_counting_older_versions(client: redis.Redis, stores: Stores) -> None:
    older.pushed(client)
    pushed = stores.models.bundles.push("office", Content("tagged", {"tag.txt": b"green"}), "a test")
    assert (pushed.manifest.version, pushed.current) == (3, 1)


def test_models_in_use_by_an_older_version_stay(client: redis.Redis, redis_url: str, stores: Stores) -> None:
    older.at_work(client)
    older.pushed(client)
    before = dumped(client)
    why = f"pushed with version 0.1, and taken over once that has ended: {older.NODE}, {older.RUNNING}"
    with pytest.raises(errors.UnknownBundle, match=f"the bundle office was {why}"):
        stores.models.bundles.manifest("office")
    assert cluster("models", "list", "--broker", redis_url).stderr == f"office: {why}\n"
    assert dumped(client) == before
    older.ended(client)
    assert cluster("models", "list", "--broker", redis_url).stdout.startswith("office:1")


def test_a_model_pushed_since_is_not_replaced(client: redis.Redis, stores: Stores) -> None:
    older.at_work(client)
    older.pushed(client)
    bundles = stores.models.bundles
    bundles.push("office", Content("tagged", {"tag.txt": b"green"}), "a test")
    older.ended(client)
    assert bundles.take_over() == {"office": "left with version 0.1, as this one has a bundle of that name"}
    assert [manifest.version for manifest in bundles.versions("office")] == [1]
    assert client.hlen("cluster:bundle:office") == 2


def test_a_redis_that_forbids_renaming_says_what_to_push(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        owner = admin(server.url)
        owner.execute_command("ACL", "SETUSER", "default", "-rename")  # type: ignore[no-untyped-call]
        older.pushed(owner)
        before = dumped(owner)
        done = cluster("models", "list", "--broker", server.url)
        assert "office: pushed with version 0.1, and Redis does not let it be taken over" in done.stderr
        assert "push it again" in done.stderr
        assert dumped(owner) == before
