"""Bundles reach the nodes by themselves, runs keep the version they began with, and nothing wrong is ever used."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cluster import errors, keys, redis_client, settings
from cluster.bundles.content import Content
from cluster.bundles.manifest import PIECE_BYTES
from cluster.coordinator import publish_model
from cluster.job import Job
from cluster.ledger.lease import Lease, Split
from cluster.ledger.status import Status
from cluster.settings import Settings
from cluster.stores import Stores
from tests.kit import wheels
from tests.kit.jobs.cluster_testjobs import TAG_TRAIN
from tests.kit.programs import MARK, Program, RedisServer, Worker, admin, cluster, start_cluster
from tests.kit.proxy import Proxy
from tests.kit.waiting import wait_until

ITEMS = 24


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
    (tmp_path / "in").mkdir()
    for at in range(ITEMS):
        (tmp_path / "in" / f"{at:02}.txt").write_text("x")
    return tmp_path / "in"


def node(name: str, url: str, folder: Path, *flags: str, **more: str) -> Worker:
    """A node with a cache of its own."""
    cache = {"CLUSTER_CACHE_DIR": str(folder / f"cache-{name}"), MARK: name}
    return Worker(name, url, folder, "-c", "1", *flags, **{**cache, **more})


def push(stores: Stores, name: str, tag: str, *requirements: str, **more: bytes) -> str:
    """As another machine that tells nobody: each node must find out with its next heartbeat."""
    files = {"tag.txt": tag.encode(), **{f"{key}.txt": data for key, data in more.items()}}
    manifest = stores.models.bundles.push(name, Content("tagged", files, requirements), "a test").manifest
    return manifest.reference


def command(url: str, source: Path, model: str, *more: str) -> list[str | Path]:
    return ["submit", "-q", "--job", "tagged", source, "--model", model, "--broker", url, *more]


def tags(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout).values())


def answer(process: Program) -> set[str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(json.loads(out)) == ITEMS
    return set(json.loads(out).values())


def row(stores: Stores, name: str) -> Any:
    return next(node for node in stores.nodes.nodes() if node.name == f"{name}@test")


def serves(stores: Stores, name: str, ref: str) -> None:
    wait_until(f"{name} serves {ref}", lambda: f"tagged@{ref}" in row(stores, name).jobs, timeout_s=30)


def lacks(stores: Stores, name: str, ref: str) -> str:
    """Why a node does not serve a version, as far as it has told."""
    return str(row(stores, name).missing.get(f"tagged@{ref}", ""))


def running(stores: Stores) -> list[Status]:
    return [run for run in stores.ledger.runs.latest(5) if run.job == "tagged" and run.state == "running"]


def at_work(stores: Stores) -> set[str]:
    """The nodes that have begun a chunk, which they may hold at its gate."""
    return {claim.worker.node for run in running(stores) for claim in stores.ledger.chunks.running(run.run)}


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


def test_a_run_keeps_the_version_it_began_with_and_the_next_one_gets_the_new_one(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    old = push(stores, name, "red")
    gate = tmp_path / "gate"
    with node("one", redis_url, tmp_path) as one:
        with start_cluster(*command(redis_url, source, name, "--gate", str(gate))) as run:
            wait_until("the run has begun", lambda: at_work(stores))
            new = push(stores, name, "blue")
            serves(stores, "one", new)
            assert f"tagged@{old}" in row(stores, "one").jobs  # for the run that has it
            refused = cluster("models", "remove", f"{name}:1", "--broker", redis_url)
            assert refused.returncode == errors.UsageError.exit_code
            assert "in use by tagged-" in refused.stderr
            with start_cluster(*command(redis_url, source, name)) as next_run:
                wait_until("the next run is there, too", lambda: len(running(stores)) == 2)
                gate.touch()
                assert answer(next_run) == {"blue of one"}
            assert answer(run) == {"red of one"}
        assert tags(cluster(*command(redis_url, source, old))) == {"red of one"}  # who asks for it gets it
        assert "Traceback" not in one.text()


def test_what_is_pinned_is_what_runs_get(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    push(stores, name, "red")
    push(stores, name, "blue")
    stores.models.bundles.pin(name, 1)
    with node("one", redis_url, tmp_path):
        assert tags(cluster(*command(redis_url, source, name))) == {"red of one"}


def test_a_bundle_that_was_tampered_with_is_never_used(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    ref = push(stores, name, "red")
    scope = keys.blobs(stores.models.manifest(ref).scope)
    client = stores.redis
    found: Any = client.hgetall(scope)
    [(field, data)] = found.items()
    client.hset(scope, field, bytes([data[0] ^ 1]) + data[1:])
    with node("one", redis_url, tmp_path):
        wait_until("it says so", lambda: "sha256" in lacks(stores, "one", ref))
        failed = cluster(*command(redis_url, source, name, "--if-no-node", "fail"))
        assert failed.returncode == errors.JobUnavailable.exit_code
        assert "sha256" in failed.stderr
        client.hset(scope, field, data)
        assert tags(cluster(*command(redis_url, source, name))) == {"red of one"}


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


def test_a_bundle_that_is_removed_is_served_no_more(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    ref = push(stores, name, "red")
    with node("one", redis_url, tmp_path):
        serves(stores, "one", ref)
        stores.models.bundles.remove(name)
        wait_until("it is gone", lambda: f"tagged@{ref}" not in row(stores, "one").jobs)
        failed = cluster(*command(redis_url, source, name))
        assert failed.returncode == errors.UsageError.exit_code
        assert name in failed.stderr


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
            assert tags(cluster(*command(redis_url, source, name), timeout_s=90)) == {"red 1.5 of open"}


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
            assert tags(cluster(*command(redis_url, source, name + model), timeout_s=90)) == {f"{tag} of one"}
            assert not stores.ledger.runs.latest(1)[0].retries
        assert one.text().count("this process ends for another one") == 2  # to 1.6, to none; then none takes 1.5


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


def test_what_a_run_has_trained_before_does_not_come_back(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    with node("one", redis_url, tmp_path):
        train(redis_url, source, name)
        run = stores.ledger.runs.latest(1)[0].run
        train(redis_url, source, name)
        stores.redis.hdel(keys.run(run), "report")  # as if its submitter had died before it could tell
        told = json.loads(cluster("result", run, "--broker", redis_url).stdout)
        assert (told["model"], told["new"], told["current"]) == (f"{name}:1", False, f"{name}:2")


def trained_and_not_told(redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path) -> Status:
    """A run that has trained, as if its submitter had died before it could tell."""
    with node("one", redis_url, tmp_path):
        train(redis_url, source, name)
    status = stores.ledger.runs.latest(1)[0]
    stores.redis.hdel(keys.run(status.run), "report")
    return status


def test_a_model_is_made_once_although_its_run_expires_meanwhile(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = trained_and_not_told(redis_url, stores, source, name, tmp_path)
    monkeypatch.setattr(stores.ledger.reports, "enter", lambda run, report: None)  # there is nothing to enter it in
    config = settings.load(broker_url=redis_url)
    assert publish_model.publish(TAG_TRAIN, status, stores, config, "a test")["model"] == f"{name}:1"


def test_who_begins_when_another_one_is_just_done_tells_what_that_one_made(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = trained_and_not_told(redis_url, stores, source, name, tmp_path)
    reports, told = stores.ledger.reports, {"model": f"{name}:7"}
    real = reports.begin

    def begin(run: str, owner: str) -> bool:
        reports.enter(run, told)
        return real(run, owner)

    monkeypatch.setattr(reports, "begin", begin)
    assert publish_model.publish(TAG_TRAIN, status, stores, settings.load(broker_url=redis_url), "a test") == told
    assert not stores.redis.exists(keys.run(status.run, "publishing"))


def test_who_adds_to_a_model_while_another_one_does_adds_to_what_that_one_made(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = trained_and_not_told(redis_url, stores, source, name, tmp_path)
    adding = ended.model_copy(update={"options": {**ended.options, "add": True}})
    bases: list[str] = []

    def make(job: Job, status: Status, stores: Stores, config: Settings, before: str) -> Any:
        bases.append(before.partition(".")[0])
        if len(bases) == 1:
            push(stores, name, "blue")
        return real(job, status, stores, config, before)

    real = publish_model._make
    monkeypatch.setattr(publish_model, "_make", make)
    report = publish_model.publish(TAG_TRAIN, adding, stores, settings.load(broker_url=redis_url), "a test")
    assert bases == [f"{name}:1", f"{name}:2"]
    assert report["based_on"] == f"{name}:2"


def test_two_users_who_submit_at_the_same_time_each_get_their_own(
    redis_url: str, stores: Stores, name: str, tmp_path: Path
) -> None:
    push(stores, name, "red")
    push(stores, f"{name}-b", "blue")
    for user in "ab":
        (tmp_path / user).mkdir()
        for at in range(ITEMS):
            (tmp_path / user / f"{user}{at:02}.txt").write_text("x")
    with (
        node("one", redis_url, tmp_path),
        start_cluster(*command(redis_url, tmp_path / "a", name)) as a,
        start_cluster(*command(redis_url, tmp_path / "b", f"{name}-b")) as b,
    ):
        for process, user, tag in ((a, "a", "red"), (b, "b", "blue")):
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert json.loads(out) == {f"{user}{at:02}.txt": f"{tag} of one" for at in range(ITEMS)}


def train(url: str, source: Path, name: str) -> subprocess.CompletedProcess[str]:
    return cluster("submit", "-q", "--job", "tag-train", source, "--model", name, "--broker", url)


def test_what_a_run_trains_is_the_next_version_of_its_bundle(
    redis_url: str, stores: Stores, source: Path, name: str, tmp_path: Path
) -> None:
    with node("one", redis_url, tmp_path):
        first = json.loads(train(redis_url, source, name).stdout)
        told = {"model": f"{name}:1", "new": True, "current": f"{name}:1", "based_on": None, "said": "x" * ITEMS}
        assert first == told
        second = json.loads(train(redis_url, source, name).stdout)
        told = {"model": f"{name}:2", "new": True, "current": f"{name}:2", "based_on": f"{name}:1"}
        assert second == {**told, "said": "x" * 2 * ITEMS}
        assert tags(cluster(*command(redis_url, source, name))) == {f"{'x' * 2 * ITEMS} of one"}
        run = next(run.run for run in stores.ledger.runs.latest(5) if run.job == "tag-train")
        again = cluster("result", run, "--broker", redis_url)
        assert json.loads(again.stdout) == second
        assert [manifest.version for manifest in stores.models.bundles.versions(name)] == [1, 2]


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


def test_without_a_broker_models_are_this_machines_own(source: Path, name: str, tmp_path: Path) -> None:
    ours = {"CLUSTER_MODELS_DIR": str(tmp_path / "models"), "CLUSTER_CACHE_DIR": str(tmp_path / "cache"), MARK: "me"}
    trained = cluster("submit", "-q", "--job", "tag-train", source, "--model", name, settings=ours)
    assert json.loads(trained.stdout)["model"] == f"{name}:1", trained.stderr
    tagged = cluster("submit", "-q", "--job", "tagged", source, "--model", name, settings=ours)
    assert tags(tagged) == {f"{'x' * ITEMS} of me"}
    unknown = cluster("submit", "-q", "--job", "tagged", source, "--model", "nobody", settings=ours)
    assert unknown.returncode == errors.UsageError.exit_code
    assert "nobody" in unknown.stderr


def test_a_model_that_is_needed_must_be_named_and_of_the_right_job(
    redis_url: str, stores: Stores, source: Path, name: str
) -> None:
    stores.models.bundles.push(name, Content("other", {"tag.txt": b"x"}), "a test")
    for arguments, said in (((), "--model"), (("--model", name), "for the job other"), (("--model", "A:b"), "A:b")):
        failed = cluster("submit", "--job", "tagged", source, "--broker", redis_url, *arguments)
        assert failed.returncode == errors.UsageError.exit_code, failed.stderr
        assert said in failed.stderr


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


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
