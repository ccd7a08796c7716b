"""Runs keep the version of a bundle that they began with, and make the next one. One node does them all."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import errors, keys, settings
from cluster.bundles.content import Content
from cluster.coordinator import publish_model
from cluster.job import Job
from cluster.ledger.status import Status
from cluster.settings import Settings
from cluster.stores import Stores
from tests.kit.commands import cluster
from tests.kit.jobs.cluster_testjobs import TAG_TRAIN
from tests.kit.programs import Worker, start_cluster
from tests.kit.tagged import (
    ITEMS,
    answer,
    at_work,
    command,
    lacks,
    node,
    push,
    row,
    running,
    serves,
    tags,
    texts,
    train,
)
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.usefixtures("one")


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: what is pushed here is not for the nodes of other tests."""
    return broker


@pytest.fixture(scope="module")
def one(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """The node of all these tests."""
    with node("one", broker, tmp_path_factory.mktemp("one")) as worker:
        yield worker


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


def test_a_run_keeps_the_version_it_began_with_and_the_next_one_gets_the_new_one(
    redis_url: str, stores: Stores, source: Path, name: str, one: Worker, tmp_path: Path
) -> None:
    old = push(stores, name, "red")
    gate = tmp_path / "gate"
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


def test_what_is_pinned_is_what_runs_get(redis_url: str, stores: Stores, source: Path, name: str) -> None:
    push(stores, name, "red")
    push(stores, name, "blue")
    stores.models.bundles.pin(name, 1)
    assert tags(cluster(*command(redis_url, source, name))) == {"red of one"}


def test_a_bundle_that_was_tampered_with_is_never_used(
    redis_url: str, stores: Stores, source: Path, name: str, one: Worker
) -> None:
    one.send(signal.SIGSTOP)  # it is not to fetch the bundle before
    ref = push(stores, name, name)  # nor is it to have its content from another one
    scope = keys.blobs(stores.models.manifest(ref).scope)
    client = stores.redis
    found: Any = client.hgetall(scope)
    [(field, data)] = found.items()
    client.hset(scope, field, bytes([data[0] ^ 1]) + data[1:])
    one.send(signal.SIGCONT)
    wait_until("it says so", lambda: "sha256" in lacks(stores, "one", ref))
    failed = cluster(*command(redis_url, source, name, "--if-no-node", "fail"))
    assert failed.returncode == errors.JobUnavailable.exit_code
    assert "sha256" in failed.stderr
    client.hset(scope, field, data)
    assert tags(cluster(*command(redis_url, source, name))) == {f"{name} of one"}


def test_a_bundle_that_is_removed_is_served_no_more(redis_url: str, stores: Stores, source: Path, name: str) -> None:
    ref = push(stores, name, "red")
    serves(stores, "one", ref)
    stores.models.bundles.remove(name)
    wait_until("it is gone", lambda: f"tagged@{ref}" not in row(stores, "one").jobs)
    failed = cluster(*command(redis_url, source, name))
    assert failed.returncode == errors.UsageError.exit_code
    assert name in failed.stderr


def test_what_a_run_has_trained_before_does_not_come_back(
    redis_url: str, stores: Stores, source: Path, name: str
) -> None:
    train(redis_url, source, name)
    run = stores.ledger.runs.latest(1)[0].run
    train(redis_url, source, name)
    stores.redis.hdel(keys.run(run), "report")  # as if its submitter had died before it could tell
    told = json.loads(cluster("result", run, "--broker", redis_url).stdout)
    assert (told["model"], told["new"], told["current"]) == (f"{name}:1", False, f"{name}:2")


def trained_and_not_told(redis_url: str, stores: Stores, source: Path, name: str) -> Status:
    """A run that has trained, as if its submitter had died before it could tell."""
    train(redis_url, source, name)
    status = stores.ledger.runs.latest(1)[0]
    stores.redis.hdel(keys.run(status.run), "report")
    return status


def test_a_model_is_made_once_although_its_run_expires_meanwhile(
    redis_url: str, stores: Stores, source: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = trained_and_not_told(redis_url, stores, source, name)
    monkeypatch.setattr(stores.ledger.reports, "enter", lambda run, report: None)  # there is nothing to enter it in
    config = settings.load(broker_url=redis_url)
    assert publish_model.publish(TAG_TRAIN, status, stores, config, "a test")["model"] == f"{name}:1"


def test_who_begins_when_another_one_is_just_done_tells_what_that_one_made(
    redis_url: str, stores: Stores, source: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = trained_and_not_told(redis_url, stores, source, name)
    reports, told = stores.ledger.reports, {"model": f"{name}:7"}
    real = reports.begin

    def begin(run: str, owner: str) -> bool:
        reports.enter(run, told)
        return real(run, owner)

    monkeypatch.setattr(reports, "begin", begin)
    assert publish_model.publish(TAG_TRAIN, status, stores, settings.load(broker_url=redis_url), "a test") == told
    assert not stores.redis.exists(keys.run(status.run, "publishing"))


def test_who_adds_to_a_model_while_another_one_does_adds_to_what_that_one_made(
    redis_url: str, stores: Stores, source: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = trained_and_not_told(redis_url, stores, source, name)
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
        start_cluster(*command(redis_url, tmp_path / "a", name)) as a,
        start_cluster(*command(redis_url, tmp_path / "b", f"{name}-b")) as b,
    ):
        for process, user, tag in ((a, "a", "red"), (b, "b", "blue")):
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert json.loads(out) == {f"{user}{at:02}.txt": f"{tag} of one" for at in range(ITEMS)}


def test_what_a_run_trains_is_the_next_version_of_its_bundle(
    redis_url: str, stores: Stores, source: Path, name: str
) -> None:
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


def test_a_model_that_is_needed_must_be_named_and_of_the_right_job(
    redis_url: str, stores: Stores, source: Path, name: str
) -> None:
    stores.models.bundles.push(name, Content("other", {"tag.txt": b"x"}), "a test")
    for arguments, said in (((), "--model"), (("--model", name), "for the job other"), (("--model", "A:b"), "A:b")):
        failed = cluster("submit", "--job", "tagged", source, "--broker", redis_url, *arguments)
        assert failed.returncode == errors.UsageError.exit_code, failed.stderr
        assert said in failed.stderr
