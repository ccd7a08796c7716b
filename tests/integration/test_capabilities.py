"""Runs that need something of a node: they go to nodes that have it, and to no others."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cluster import errors, keys, settings
from cluster.bundles.content import Content
from cluster.nodes import wanted
from cluster.stores import Stores
from cluster.worker.provisioner import Provisioner
from tests.kit.commands import cluster
from tests.kit.jobs.cluster_testjobs import PICKY, TAGGED
from tests.kit.looking import published
from tests.kit.programs import MARK, Worker, admin, start_cluster
from tests.kit.waiting import line_with, wait_until


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for at in range(12):
        (tmp_path / "in" / f"{at:02}.txt").write_text("x")
    return tmp_path / "in"


def node(name: str, url: str, folder: Path, tools: str) -> Worker:
    return Worker(name, url, folder, "-c", "1", CLUSTER_TEST_TOOLS=tools, **{MARK: name})


def submit(url: str, source: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return cluster("submit", "-q", "--job", "picky", source, "--broker", url, *more)


def rows(url: str) -> dict[str, Any]:
    found = {row["name"]: row for row in json.loads(cluster("nodes", "--json", "--broker", url).stdout)}
    return {name: row for name, row in found.items() if row["state"] == "online"}


def test_chunks_go_only_to_nodes_that_have_what_the_run_needs(redis_url: str, source: Path, tmp_path: Path) -> None:
    with node("bare", redis_url, tmp_path, ""), node("rich", redis_url, tmp_path, "saw axe"):
        done = submit(redis_url, source, "--tool", "saw")
        assert done.returncode == 0, done.stderr
        assert "no node" not in done.stderr
        assert set(json.loads(done.stdout).values()) == {"saw of rich"}

        def shared() -> bool:  # not by each run: a node may be so late that the other one does all
            plain = submit(redis_url, source)
            assert plain.returncode == 0, plain.stderr
            return set(json.loads(plain.stdout).values()) == {"hand of bare", "hand of rich"}

        wait_until("what all can do is done by all", shared)


def test_a_run_that_no_node_can_serve_says_what_each_lacks_and_goes_on_when_one_comes(
    redis_url: str, source: Path, tmp_path: Path
) -> None:
    with node("bare", redis_url, tmp_path, "axe"):
        failed = submit(redis_url, source, "--tool", "drill", "--if-no-node", "fail")
        assert failed.returncode == errors.JobUnavailable.exit_code
        assert "the job picky with drill, firm" in failed.stderr
        assert "bare@test: it has no drill" in failed.stderr
        with start_cluster("submit", "--job", "picky", "--tool", "drill", source, "--broker", redis_url) as waiting:
            assert waiting.stderr is not None
            line_with("bare@test: it has no drill", waiting.stderr)
            with node("late", redis_url, tmp_path, "drill"):
                out, err = waiting.communicate(timeout=30)
            assert waiting.returncode == 0, err
            assert set(json.loads(out).values()) == {"drill of late"}


def row(client: redis.Redis, capability: str) -> bool:
    rows: Any = client.zrange(keys.WANTED, 0, -1)
    return any(found.startswith(capability.encode()) for found in rows)


def test_what_redis_has_lost_is_wanted_again(redis_url: str, stores: Stores, source: Path, tmp_path: Path) -> None:
    client = stores.redis
    with start_cluster("submit", "--job", "picky", "--tool", "plane", source, "--broker", redis_url) as waiting:
        wait_until("it is needed", lambda: published(stores, 12) and row(client, "picky@plane;firm"))
        client.delete(keys.WANTED)
        wait_until("it is needed again", lambda: row(client, "picky@plane;firm"))
        with node("late", redis_url, tmp_path, "plane"):
            _, err = waiting.communicate(timeout=30)
        assert waiting.returncode == 0, err


def test_a_cancelled_run_leaves_no_queue_that_nobody_serves(redis_url: str, stores: Stores, source: Path) -> None:
    client, queue = stores.redis, keys.queue("picky@chisel;firm")
    with start_cluster("submit", "--job", "picky", "--tool", "chisel", source, "--broker", redis_url) as waiting:
        wait_until("it waits", lambda: published(stores, 12) and client.llen(queue))
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=30)
    assert not list(client.scan_iter("*chisel*"))


def test_a_chunk_that_came_by_another_queue_is_left_to_those_who_can_do_it(
    redis_url: str, stores: Stores, source: Path, tmp_path: Path
) -> None:
    with start_cluster("submit", "--job", "picky", "--tool", "file", source, "--broker", redis_url) as waiting:
        queue = keys.queue("picky@file;firm")
        wait_until("it waits", lambda: published(stores, 12) and stores.redis.llen(queue))
        admin(redis_url).rename(queue, keys.queue("picky"))  # as somebody who knows no capabilities might send it
        with node("bare", redis_url, tmp_path, ""):
            wait_until("they are taken", lambda: not stores.redis.llen(keys.queue("picky")))
            with node("late", redis_url, tmp_path, "file"):
                out, err = waiting.communicate(timeout=40)
    assert waiting.returncode == 0, err
    assert set(json.loads(out).values()) == {"file of late"}
    assert not next(run for run in stores.ledger.runs.latest(9) if run.job == "picky").retries


def test_without_a_broker_a_run_with_several_needs_finds_its_worker(source: Path, tmp_path: Path) -> None:
    here = {"CLUSTER_TEST_TOOLS": "saw", "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    done = cluster("submit", "-q", "--job", "picky", "--tool", "saw", source, settings=here)
    assert done.returncode == 0, done.stderr


def test_a_worker_that_serves_given_queues_finds_no_others(redis_url: str, source: Path, tmp_path: Path) -> None:
    with Worker("one", redis_url, tmp_path, "-Q", keys.queue("measure"), CLUSTER_TEST_TOOLS="saw"):
        failed = submit(redis_url, source, "--tool", "saw", "--if-no-node", "fail")
        assert failed.returncode == errors.JobUnavailable.exit_code
        assert rows(redis_url)["one@test"]["jobs"] == ["measure"]


@pytest.fixture
def run() -> str:
    return f"picky-{secrets.token_hex(4)}"


@pytest.fixture
def provisioner(stores: Stores, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provisioner:
    monkeypatch.setenv("CLUSTER_TEST_TOOLS", "saw")
    stores.redis.delete(keys.WANTED)
    impatient = Stores.connect(settings.load(broker_url=redis_url, cache_dir=tmp_path), patient=False)
    return Provisioner(impatient, [PICKY], {})


def test_a_capability_is_served_as_long_as_a_run_that_needs_it(
    provisioner: Provisioner, stores: Stores, run: str
) -> None:
    client = stores.redis
    stores.ledger.runs.create(run, "picky", "", {"tool": "saw"}, "test", "picky@saw;firm")
    wanted.enter(client, "picky@saw;firm", run)
    wanted.enter(client, "picky@axe;firm", run)
    provisioner.look()
    assert provisioner.served.capabilities == {"picky@saw;firm"}
    assert provisioner.served.missing["picky@axe;firm"] == "it has no axe"
    stores.ledger.runs.stop(run, "cancelled", "by a test")
    provisioner.look()
    assert not provisioner.served.capabilities
    assert not any(run.encode() in row for row in client.zrange(keys.WANTED, 0, -1))


@pytest.fixture
def bundle(stores: Stores) -> Iterator[str]:
    """A version of one for the job ``tagged``."""
    name = f"tag-{secrets.token_hex(4)}"
    yield stores.models.bundles.push(name, Content("tagged", {"tag.txt": b"red"}), "a test").manifest.reference
    stores.models.bundles.remove(name)


def test_a_node_that_lacks_a_job_fetches_no_bundles_for_it(redis_url: str, bundle: str, tmp_path: Path) -> None:
    config = settings.load(broker_url=redis_url).model_copy(update={"cache_dir": tmp_path})
    provisioner = Provisioner(Stores.connect(config, patient=False), [TAGGED], {"tagged": "it is not installed"})
    provisioner.look()
    assert provisioner.served.missing[f"tagged@{bundle}"] == "it is not installed"
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_cannot_keep_a_bundle_says_where(redis_url: str, bundle: str, tmp_path: Path) -> None:
    (tmp_path / "bundles").write_text("in the way")
    config = settings.load(broker_url=redis_url).model_copy(update={"cache_dir": tmp_path})
    provisioner = Provisioner(Stores.connect(config, patient=False), [TAGGED], {})
    provisioner.look()
    why = provisioner.served.missing[f"tagged@{bundle}"]
    assert why == f"what it needs cannot be kept in {tmp_path / 'bundles'}: File exists"


def test_capabilities_that_make_no_sense_are_answered_and_harm_nothing(
    provisioner: Provisioner, stores: Stores, run: str
) -> None:
    stores.ledger.runs.create(run, "picky", "", {}, "test")
    for capability in ("picky@saw", "other@saw", "@", "picky@%ff%00"):
        wanted.enter(stores.redis, capability, run)
    stores.redis.zadd(keys.WANTED, {b"\xff\xfe": 1, b"no-space": 1})
    provisioner.look()
    assert not provisioner.served.capabilities
    assert "no capability" in provisioner.served.missing["picky@saw"]


def test_a_revision_that_was_seen_is_not_looked_at_again(provisioner: Provisioner) -> None:
    for revision, is_due in ((3, True), (3, False), (4, True), (4, False)):
        provisioner.heard(revision)
        assert provisioner._due.is_set() == is_due
        provisioner.look()


def test_a_new_revision_is_looked_at_at_once(provisioner: Provisioner, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr("cluster.worker.provisioner.LOOK_S", 60.0)

    def counted() -> None:
        looks.append(1)
        provisioner._due.clear()

    monkeypatch.setattr(provisioner, "look", counted)
    provisioner.start()
    provisioner.heard(3)
    wait_until("it has looked", lambda: bool(looks))
    provisioner.heard(4)
    wait_until("it looks again", lambda: len(looks) > 1)
