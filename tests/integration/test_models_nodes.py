"""Bundles reach the nodes by themselves, and nothing wrong or half fetched is ever used."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cluster import errors, keys, redis_client, settings
from cluster.bundles.manifest import PIECE_BYTES
from cluster.ledger.lease import Lease, Split
from cluster.stores import Stores
from tests.kit import wheels
from tests.kit.commands import cluster
from tests.kit.jobs.cluster_testjobs import TAG_TRAIN
from tests.kit.programs import MARK, RedisServer, admin, start_cluster
from tests.kit.proxy import Proxy
from tests.kit.tagged import ITEMS, answer, at_work, command, lacks, node, push, row, serves, tags, texts
from tests.kit.waiting import wait_until


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: what is pushed here is not for the nodes of other tests."""
    return broker


@pytest.fixture
def name(stores: Stores) -> Iterator[str]:
    name = f"tag-{secrets.token_hex(4)}"
    yield name
    bundles = stores.models.bundles
    for pushed in bundles.names():
        bundles.remove(pushed)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return texts(tmp_path)


def test_a_node_that_joins_fetches_what_its_jobs_need_and_takes_part(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    ref = push(stores, name, "red")
    gate = tmp_path / "gate"
    with (
        node("first", redis_url, tmp_path),
        start_cluster(*command(redis_url, source, name, "--seconds", "0.1", "--gate", str(gate))) as run,
    ):
        wait_until("the run has begun", lambda: at_work(stores) == {"first@test"})
        with node("second", redis_url, tmp_path):
            wait_until("both take part", lambda: at_work(stores) == {"first@test", "second@test"})
            gate.touch()
            assert answer(run) == {"red of first", "red of second"}
        assert ref.partition(".")[0] in row(stores, "first").bundles


def test_a_node_that_is_cut_off_while_it_fetches_uses_nothing_half_fetched(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    push(stores, name, "red", weights=secrets.token_bytes(12 * PIECE_BYTES))
    port = urlsplit(redis_url).port or 0
    with Proxy("127.0.0.1", port) as proxy:
        url = redis_url.replace(str(port), str(proxy.port))
        with node("one", url, tmp_path) as one:
            bundles = tmp_path / "cache-one" / "bundles"
            wait_until("it fetches", lambda: any(bundles.glob(".draft-*/*")), timeout_s=30)
            proxy.hold()
            proxy.reset()
            time.sleep(2)
            assert [path.name for path in bundles.iterdir() if not path.name.startswith(".draft-")] == []
            proxy.release()
            assert tags(cluster(*command(redis_url, source, name))) == {"red of one"}
            assert "Traceback" not in one.text()
        assert not any(bundles.glob(".draft-*"))


def test_what_was_fetched_survives_a_restart_of_the_node(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    ref = push(stores, name, "red")
    with node("one", redis_url, tmp_path):
        serves(stores, "one", ref)
    stores.blobs.drop(stores.models.manifest(ref).scope)
    with node("one", redis_url, tmp_path):
        assert tags(cluster(*command(redis_url, source, name))) == {"red of one"}


def test_a_run_goes_on_while_its_node_fetches(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    push(stores, name, "red")
    gate = tmp_path / "gate"
    port = urlsplit(redis_url).port or 0
    with Proxy("127.0.0.1", port) as proxy:
        near = redis_url.replace(str(port), str(proxy.port))
        with (
            node("one", near, tmp_path),
            start_cluster(*command(redis_url, source, name, "--gate", str(gate))) as run,
        ):
            wait_until("the run has begun", lambda: at_work(stores))
            proxy.bytes_per_s = PIECE_BYTES  # to fetch all takes longer than an answer may
            ref = push(stores, name, "blue", weights=secrets.token_bytes(64 * PIECE_BYTES))
            fetched = tmp_path / "cache-one" / "bundles"
            wait_until("it fetches", lambda: any(fetched.glob(".draft-*/*")))
            gate.touch()
            answer(run)
            assert any(fetched.glob(".draft-*/*"))
            proxy.bytes_per_s = None
            serves(stores, "one", ref)


def offline(folder: Path) -> Mapping[str, str]:
    return {**wheels.NO_NETWORK, "PIP_FIND_LINKS": str(folder)}


def test_a_requirement_that_is_missing_is_named_and_installed_only_where_that_is_allowed(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    sha256 = wheels.wheel(tmp_path / "wheels", "cluster_testpackage", "1.5")
    required = f"cluster-testpackage==1.5 --hash=sha256:{sha256}"
    ref = push(stores, name, "red", required, package=b"cluster_testpackage")
    with node("careful", redis_url, tmp_path, **offline(tmp_path / "wheels")):
        wait_until("it says so", lambda: "cluster-testpackage==1.5" in lacks(stores, "careful", ref))
        failed = cluster(*command(redis_url, source, name, "--if-no-node", "fail"))
        assert failed.returncode == errors.JobUnavailable.exit_code
        assert "cluster-testpackage==1.5" in failed.stderr
        assert f"cluster models install {name}:1" in failed.stderr
        for told in ("nodes", "doctor"):
            assert "cluster-testpackage==1.5" in cluster(told, "--broker", redis_url).stdout
        with node("open", redis_url, tmp_path, CLUSTER_INSTALL="allow", **offline(tmp_path / "wheels")):
            assert tags(cluster(*command(redis_url, source, name))) == {"red 1.5 of open"}


def test_two_bundles_with_other_packages_are_done_by_the_same_slot(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    for version in ("1.5", "1.6"):
        sha256 = wheels.wheel(tmp_path / "wheels", "cluster_testpackage", version)
        required = f"cluster-testpackage=={version} --hash=sha256:{sha256}"
        push(stores, f"{name}-{version[-1]}", "red", required, package=b"cluster_testpackage")
    push(stores, name, "blue")
    with node("one", redis_url, tmp_path, CLUSTER_INSTALL="allow", **offline(tmp_path / "wheels")) as one:
        for model, tag in (("-5", "red 1.5"), ("-6", "red 1.6"), ("", "blue"), ("-5", "red 1.5")):
            assert tags(cluster(*command(redis_url, source, name + model))) == {f"{tag} of one"}
            assert not stores.ledger.runs.latest(1)[0].retries
        assert one.text().count("this process ends for another one") == 2  # to 1.6, to none; then none takes 1.5


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


def test_another_bundle_under_the_number_of_one_that_redis_has_lost_is_told_apart(
    durable: RedisServer, source: Path, name: str, tmp_path: Path
) -> None:
    stores = Stores.connect(settings.load(broker_url=durable.url))
    old = push(stores, name, "red")
    with node("one", durable.url, tmp_path):
        serves(stores, "one", old)
        admin(durable.url).flushall()
        new = push(stores, name, "blue")
        assert new.partition(".")[0] == old.partition(".")[0]
        assert tags(cluster(*command(durable.url, source, name))) == {"blue of one"}
        with pytest.raises(errors.UnknownBundle):
            Stores.connect(settings.load(broker_url=durable.url)).models.manifest(old)


def test_a_node_serves_its_bundles_again_after_redis_was_away(
    durable: RedisServer, source: Path, name: str, tmp_path: Path
) -> None:
    stores = Stores.connect(settings.load(broker_url=durable.url))
    ref = push(stores, name, "red")
    with node("one", durable.url, tmp_path):
        serves(stores, "one", ref)
        durable.kill()
        time.sleep(1)
        durable.start()
        redis_client.check(durable.url)
        assert tags(cluster(*command(durable.url, source, name))) == {"red of one"}


def test_without_a_broker_models_are_this_machines_own(source: Path, name: str, tmp_path: Path) -> None:
    ours = {"CLUSTER_MODELS_DIR": str(tmp_path / "models"), "CLUSTER_CACHE_DIR": str(tmp_path / "cache"), MARK: "me"}
    trained = cluster("submit", "-q", "--job", "tag-train", source, "--model", name, settings=ours)
    assert json.loads(trained.stdout)["model"] == f"{name}:1", trained.stderr
    tagged = cluster("submit", "-q", "--job", "tagged", source, "--model", name, settings=ours)
    assert tags(tagged) == {f"{'x' * ITEMS} of me"}
    unknown = cluster("submit", "-q", "--job", "tagged", source, "--model", "nobody", settings=ours)
    assert unknown.returncode == errors.UsageError.exit_code
    assert "nobody" in unknown.stderr


def half_made(stores: Stores, name: str) -> None:
    """A run is done, and who began to make a model of it has died: nobody else does for ten minutes."""
    run = f"tag-train-{secrets.token_hex(4)}"
    stores.ledger.runs.create(run, "tag-train", TAG_TRAIN.version, {"model": name}, "test")
    Lease.take(stores.ledger, run, "test", "splitter").end_split(Split(), {}, 0)
    stores.redis.hset(keys.run(run), "finished_at", 1)
    assert stores.ledger.runs.status(run).state == "done"
    assert stores.ledger.reports.begin(run, "another one")


def test_a_master_publishes_what_a_run_trained_whose_submitter_is_gone(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    with start_cluster("submit", "--job", "tag-train", source, "--model", name, "--broker", redis_url) as submitter:

        def uploaded() -> bool:
            found = stores.ledger.runs.latest(1)
            return bool(found) and found[0].job == "tag-train" and found[0].chunks_total == ITEMS

        wait_until("all is uploaded", uploaded)
        submitter.kill()
        submitter.communicate()
    half_made(stores, name)
    with start_cluster("master", "--broker", redis_url) as master, node("one", redis_url, tmp_path):
        wait_until("the model is there", lambda: name in stores.models.bundles.names(), timeout_s=80)
        master.terminate()
        master.communicate()
    assert stores.models.bundles.manifest(name).parameters == {"items": ITEMS}
