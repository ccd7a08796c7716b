"""What runs need of nodes: bundles that are removed while one is submitted, and nodes that still find out."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster import catalog, errors, names, settings
from cluster.bundles.content import Content
from cluster.bundles.trial import UNUSABLE
from cluster.cli import models, submit
from cluster.client.submission import ANSWER_S
from cluster.job import Job
from cluster.names import ModelRef
from cluster.nodes import wanted
from cluster.nodes.registry import PENDING
from cluster.stores import Stores
from cluster.worker.provisioner import Provisioner
from tests.kit import sessions
from tests.kit.bundle_laws import unused
from tests.kit.jobs.cluster_testjobs import PICKY, TAGGED
from tests.kit.nodes import a_report
from tests.kit.programs import Program, start_cluster
from tests.kit.waiting import line_with, wait_until

AXE, SAW = "picky@axe;firm", "picky@saw;firm"


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: the nodes and bundles here are not for other tests."""
    return broker


@pytest.fixture
def bundle(stores: Stores) -> str:
    """A version of one for the job ``tagged``."""
    return stores.models.bundles.push(unused(), Content("tagged", {"tag.txt": b"red"}), "a test").manifest.reference


def number(ref: str) -> str:
    return str(ModelRef.parse(ref).without_digest)


def test_a_run_whose_bundle_goes_meanwhile_is_not_begun(redis_url: str, stores: Stores, bundle: str) -> None:
    config = settings.load(broker_url=redis_url)
    options = stores.models.pin(TAGGED, {"model": bundle})
    with sessions.opened(config, TAGGED, options) as opened:
        opened.stores.models.manifest(bundle)  # which it may know by heart
        stores.models.bundles.remove(ModelRef.parse(bundle).name)
        with pytest.raises(errors.UnknownBundle):
            opened.start(TAGGED, options)
    [run] = [run for run in stores.ledger.runs.latest(9) if run.options.get("model") == bundle]
    assert run.state == "failed"
    assert wanted.in_use(stores, ModelRef.parse(bundle)) == []


def test_a_language_named_like_a_model_uses_none(stores: Stores, bundle: str) -> None:
    client = stores.redis
    for job, options in ((catalog.OCR, {"lang": number(bundle)}), (TAGGED, {"model": bundle})):
        run, requirement = names.new_run(job.name), job.requirement(options)
        stores.ledger.runs.create(run, job.name, "", options, "a test", requirement)
        wanted.enter(client, requirement, run)
    assert wanted.in_use(stores, ModelRef.parse(number(bundle))) == [run]


@pytest.mark.parametrize("error", [errors.BadBundle("odd"), OSError(5, "the drive went away")])
def test_a_run_whose_bundle_cannot_be_looked_up_is_not_left_running(
    error: Exception, redis_url: str, stores: Stores, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings.load(broker_url=redis_url)
    with sessions.opened(config, TAGGED, {"model": bundle}) as opened:
        monkeypatch.setattr(type(opened.stores.models), "require", lambda *_: raise_it(error))
        with pytest.raises(type(error)):
            opened.start(TAGGED, {"model": bundle})
    assert stores.ledger.runs.latest(1)[0].state == "failed"


def raise_it(error: Exception) -> None:
    raise error


def test_all_versions_that_are_removed_by_a_name_end_their_runs(
    redis_url: str, stores: Stores, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bundle.partition(":")[0]
    remove = type(stores.models.bundles).remove
    begun: list[str] = []

    def push_and_remove(self: Any, name: str, version: int | None = None) -> Any:
        if not begun:
            new = self.push(name, Content("tagged", {"tag.txt": b"blue"}), "another").manifest
            options = {"model": new.reference}
            with sessions.opened(settings.load(broker_url=redis_url), TAGGED, options) as opened:
                begun.append(opened.start(TAGGED, options))
        return remove(self, name, version)

    monkeypatch.setattr(type(stores.models.bundles), "remove", push_and_remove)
    assert CliRunner().invoke(models.command, ["remove", name, "--broker", redis_url]).exit_code == 0
    assert stores.ledger.runs.status(begun[0]).state == "failed"


def test_who_removes_a_bundle_ends_the_runs_that_began_meanwhile_and_no_others(
    redis_url: str, stores: Stores, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings.load(broker_url=redis_url)
    options = {"model": bundle}
    remove = type(stores.models.bundles).remove
    begun: list[str] = []

    def remove_late(self: Any, name: str, version: int | None = None) -> Any:
        if not begun:
            with sessions.opened(config, TAGGED, options) as opened:
                begun.append(opened.start(TAGGED, options))
        return remove(self, name, version)

    monkeypatch.setattr(type(stores.models.bundles), "remove", remove_late)
    done = CliRunner().invoke(models.command, ["remove", number(bundle), "--broker", redis_url])
    assert done.exit_code == 0, done.output
    assert f"{begun[0]}: failed, as {number(bundle)} is removed" in done.output
    assert stores.ledger.runs.status(begun[0]).state == "failed"


def test_a_bundle_that_a_run_is_about_to_use_is_removed_by_force_only(
    redis_url: str, stores: Stores, bundle: str
) -> None:
    wanted.Asked(stores.redis, TAGGED.requirement({"model": bundle})).enter()
    arguments = ["remove", number(bundle), "--broker", redis_url]
    refused = CliRunner().invoke(models.command, arguments)
    assert f"in use by {wanted.BEING_SUBMITTED}" in str(refused.exception)
    done = CliRunner().invoke(models.command, [*arguments, "--force"])
    assert (done.exit_code, done.output) == (0, f"removed {number(bundle)}\n")


def node(
    stores: Stores, *jobs: str, missing: dict[str, str] | None = None, known: list[str] | None = None
) -> None:  # fmt: skip
    """Have the node ``slow`` tell that it serves these capabilities, and why not others."""
    report = a_report(jobs=list(jobs), missing=missing or {}, known=known)
    stores.nodes.heartbeat("slow@test", "incarnation", "here", report)


@pytest.fixture
def waiting(redis_url: str, stores: Stores, tmp_path: Path) -> Iterator[Program]:
    """Who would rather fail than wait for a node, and waits for the one that is still finding out."""
    (tmp_path / "text.txt").write_text("some words")
    node(stores, missing={SAW: PENDING})
    arguments = ("submit", "--job", "picky", "--tool", "saw", tmp_path / "text.txt", "--if-no-node", "fail")
    with start_cluster(*arguments, "--broker", redis_url) as submit:
        assert submit.stderr is not None
        line_with("waiting for slow@test", submit.stderr)
        for _ in range(3):  # it takes its time
            time.sleep(0.3)
            node(stores, missing={SAW: PENDING})
            assert submit.poll() is None
        yield submit
        submit.kill()


def test_who_wants_to_fail_does_so_once_the_last_node_has_found_out(waiting: Program, stores: Stores) -> None:
    node(stores, missing={SAW: "it has no saw"})
    _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == errors.JobUnavailable.exit_code
    assert "slow@test: it has no saw" in err


def test_who_wants_to_fail_goes_on_once_a_node_can_serve(waiting: Program, stores: Stores) -> None:
    node(stores, SAW)
    [run] = wait_until("the run is begun", lambda: [run for run in stores.ledger.runs.latest(9) if run.job == "picky"])
    wait_until("it asks no more", lambda: wanted.read(stores).get(SAW) == [run.run])
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=30)
    assert "no node" not in err


def test_a_run_that_is_given_up_asks_no_more(redis_url: str, stores: Stores, bundle: str, tmp_path: Path) -> None:
    """Else its bundle could not be removed for a minute."""
    node(stores, missing={TAGGED.requirement({"model": bundle}): "it has no room"})
    arguments = ["--job", "tagged", "--model", number(bundle), str(tmp_path), "--if-no-node", "fail"]
    given_up = CliRunner().invoke(submit.command, [*arguments, "--broker", redis_url])
    assert isinstance(given_up.exception, errors.JobUnavailable)
    removed = CliRunner().invoke(models.command, ["remove", number(bundle), "--broker", redis_url])
    assert (removed.exit_code, removed.output) == (0, f"removed {number(bundle)}\n")


def test_a_run_with_a_bundle_that_no_machine_can_use_does_not_wait(
    redis_url: str, stores: Stores, bundle: str, tmp_path: Path
) -> None:
    node(stores, missing={TAGGED.requirement({"model": bundle}): f"{UNUSABLE}it holds no tag"})
    arguments = ["--job", "tagged", "--model", number(bundle), str(tmp_path), "--broker", redis_url]
    refused = CliRunner().invoke(submit.command, arguments)
    assert isinstance(refused.exception, errors.JobUnavailable)
    assert "slow@test: no machine can use this bundle: it holds no tag" in str(refused.exception)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (["ocr", "picky.2"], "has another version of the job: 2; the run needs none; install"),
        (["ocr"], "does not have the job picky; install its package there, its worker then finds it"),
        (["ocr", "picky"], "its worker was started for other jobs (-Q)\n"),
        (None, ""),  # it is of a version that does not tell
    ],
)
def test_a_job_that_a_node_does_not_serve_is_told_with_what_helps(
    known: list[str] | None, why: str, redis_url: str, stores: Stores, tmp_path: Path
) -> None:
    node(stores, "ocr", known=known)
    arguments = ["--job", "picky", str(tmp_path), "--broker", redis_url, "--if-no-node", "fail"]
    refused = CliRunner().invoke(submit.command, arguments)
    assert isinstance(refused.exception, errors.JobUnavailable)
    said = f"{refused.exception}\n"
    assert (f"\n  slow@test: {why}" in said) is bool(why)
    assert ("`cluster shutdown --node slow@test` stops it" in said) is ("another version" in why)


def test_a_node_that_will_never_look_is_not_waited_for(redis_url: str, stores: Stores, tmp_path: Path) -> None:
    node(stores, "ocr", known=["ocr"])
    arguments = ["--job", "picky", "--tool", "saw", str(tmp_path), "--broker", redis_url, "--if-no-node", "fail"]
    began = time.monotonic()
    refused = CliRunner().invoke(submit.command, arguments)
    assert "slow@test: does not have the job picky" in str(refused.exception)
    assert time.monotonic() - began < ANSWER_S


def test_what_waits_to_be_looked_at_is_told_as_such(
    redis_url: str, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings.load(broker_url=redis_url).model_copy(update={"cache_dir": tmp_path})
    provisioner = Provisioner(Stores.connect(config, patient=False), [PICKY], {})
    seen = []

    def why_not(job: Job, capability: str, *, needed: bool) -> str:
        seen.append({capability: why for capability, why in provisioner.served.missing.items() if why == PENDING})
        return "" if capability == SAW else "it has none"

    monkeypatch.setattr(provisioner, "_why_not", why_not)
    for tool in ("axe", "saw"):
        wanted.Asked(stores.redis, f"picky@{tool};firm").enter()
    provisioner.look()
    assert seen == [{AXE: PENDING, SAW: PENDING}, {SAW: PENDING}]
    assert provisioner.served.capabilities == {SAW}
    assert provisioner.served.missing == {AXE: "it has none"}
