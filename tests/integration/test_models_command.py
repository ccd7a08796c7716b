"""``cluster models``, in a cluster and on a machine without one."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from cluster import catalog, errors, redis_client, settings
from cluster.bundles.content import Content
from cluster.bundles.local import FolderBundles
from cluster.bundles.manifest import PIECE_BYTES
from cluster.cli import models
from cluster.client.models import Models
from cluster.names import ModelRef
from cluster.nodes import wanted
from cluster.stores import Stores
from tests.kit import onnx_models, wheels
from tests.kit.bundle_laws import unused
from tests.kit.commands import cluster
from tests.kit.programs import start_cluster
from tests.kit.proxy import Proxy
from tests.kit.waiting import wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "labels.txt").write_text("cat\ndog\n")
    said = {"job": "tagged", "parameters": {"threshold": 0.5}, "requirements": ["click>=8"]}
    (tmp_path / "source" / "bundle.json").write_text(json.dumps(said))
    return tmp_path / "source"


@pytest.fixture
def machine(tmp_path: Path) -> Mapping[str, str]:
    """Settings that keep what a command leaves to this test."""
    return {"CLUSTER_MODELS_DIR": str(tmp_path / "models"), "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}


@pytest.fixture(params=["a cluster", pytest.param("this machine", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, machine: Mapping[str, str]) -> Run:
    url = request.getfixturevalue("redis_url") if request.param == "a cluster" else ""
    settings = {**machine, **({"CLUSTER_BROKER_URL": url} if url else {})}

    def call(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = cluster("models", *arguments, settings=settings)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert ("of this machine" in done.stderr) is (not url) or code
        return done

    return call


def test_from_a_folder_to_a_folder(run: Run, source: Path, tmp_path: Path) -> None:
    name = unused()
    (source / ".git").mkdir()
    done = run("push", name, source)
    assert done.stdout == f"{name}:1  1 file, 8 bytes, for the job tagged\n"
    assert "starts with a dot: .git" in done.stderr
    assert "was there already with the same content" in run("push", name, source).stdout
    (source / "labels.txt").write_text("bird\n")
    second = json.loads(run("push", name, source, "--requirement", "never==1", "--json").stdout)
    assert (second["ref"], second["new"], second["current"], second["job"]) == (f"{name}:2", True, True, "tagged")

    listed = [one for one in json.loads(run("list", "--json").stdout) if one["name"] == name]
    assert [(one["version"], one["current"], one["size_bytes"]) for one in listed] == [(1, False, 8), (2, True, 5)]
    lines = [line for line in run("list").stdout.splitlines() if line.startswith(name)]
    assert ["current" in line for line in lines] == [False, True]

    run("pin", f"{name}:1")
    assert "runs still get version 1" in run("push", name, source).stdout
    shown = run("show", name).stdout
    assert shown.startswith(f"{name}:1\n  job          tagged\n")
    assert '"threshold": 0.5' in shown
    assert "never is not installed" in run("show", f"{name}:2").stdout
    assert json.loads(run("show", f"{name}:2", "--json").stdout)["missing"]

    run("pull", name, tmp_path / "pulled")
    assert (tmp_path / "pulled" / "labels.txt").read_text() == "cat\ndog\n"
    assert json.loads((tmp_path / "pulled" / "bundle.json").read_text())["parameters"] == {"threshold": 0.5}
    assert "was there already" in run("push", name, tmp_path / "pulled").stdout

    assert f"runs get {name}:1" in run("pin", name, "--latest").stderr  # of those, it was pushed last
    done = run("remove", f"{name}:3")
    assert (done.stdout, f"runs get {name}:1 now" in done.stderr) == (f"removed {name}:3\n", True)
    assert run("remove", name).stdout == f"removed {name}:1\nremoved {name}:2\n"
    assert name not in run("list").stdout


def test_wrong_use_is_one_clear_sentence(run: Run, source: Path, tmp_path: Path) -> None:
    name = unused()
    run("push", name, source)
    wrong: list[tuple[tuple[str | Path, ...], str]] = [
        (("push", "Not:A:Name", source), "names no bundle"),
        (("push", name, tmp_path / "nowhere"), "is no folder"),
        (("push", name, source, "--job", "nonsense"), "no job 'nonsense'"),
        (("push", name, source, "--job", "wordcount"), "is for the job wordcount (they are for: faces, ocr, onnx"),
        (("push", name, source, "--job", "faces-train"), "are for the job faces: --job faces\n"),
        (("push", name, source, "--requirement", "=="), "is no requirement"),
        (("show", f"{name}:7"), f"no version 7 of the bundle {name} (there are: 1)"),
        (("show", "nobody"), "no bundle 'nobody'"),
        (("pull", name, source), "is there and not an empty folder"),
        (("pull", name, tmp_path / "no" / "folder"), "there is no folder"),
        (("push", name, "", "--job", "ocr"), "a path is empty"),
        (("remove", "nobody"), "no bundle 'nobody'"),
        (("remove", f"{name}:"), "names no bundle"),
        (("pin", name), "give a version"),
        (("pin", f"{name}:1", "--latest"), "give a version"),
        (("pin", f"{name}:9"), "no version 9"),
    ]
    for arguments, says in wrong:
        assert says in run(*arguments, code=2).stderr
    (source / "model.bin").write_bytes(pickle.dumps({"weights": [1.0] * 100}))
    assert "model.bin is a pickle" in run("push", name, source, code=2).stderr
    assert run("show", name).stdout.startswith(f"{name}:1\n")


@pytest.fixture
def runner(source: Path, machine: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands in this process, on a machine with the model ``office``."""
    for key, value in machine.items():
        monkeypatch.setenv(key, value)
    runner = CliRunner()
    assert runner.invoke(models.command, ["push", "office", str(source)]).exit_code == 0
    return runner


def test_the_reference_of_a_run_shows_its_model(runner: CliRunner, machine: Mapping[str, str]) -> None:
    [manifest] = FolderBundles(Path(machine["CLUSTER_MODELS_DIR"])).current()
    assert runner.invoke(models.command, ["show", manifest.reference]).output.splitlines()[1] == "office:1"
    other = runner.invoke(models.command, ["show", "office:1.00000000"])
    assert isinstance(other.exception, errors.UnknownBundle)
    removed = runner.invoke(models.command, ["remove", manifest.reference])
    assert isinstance(removed.exception, errors.UsageError)


def test_a_version_that_runs_use_is_not_removed_but_by_force(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def used(_: Models, ref: ModelRef) -> list[str]:
        return ["faces-1a2b"] if ref == ModelRef("office", 1) else []

    monkeypatch.setattr(Models, "in_use", used)
    for ref in ("office", "office:1"):
        refused = runner.invoke(models.command, ["remove", ref])
        assert (
            str(refused.exception)
            == "office:1 is in use by faces-1a2b; --force removes it all the same, and ends these as failed"
        )
    assert "removed office:1\n" in runner.invoke(models.command, ["remove", "office", "--force"]).output


def test_a_run_whose_bundle_is_removed_does_not_wait_for_it(redis_url: str, source: Path, tmp_path: Path) -> None:
    name = unused()
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "tag.txt").write_text("red")
    assert cluster("models", "push", name, tmp_path / "tags", "--job", "tagged", "--broker", redis_url).returncode == 0
    arguments = ("submit", "--job", "tagged", source, "--model", name, "--broker", redis_url)
    with start_cluster(*arguments) as waiting:
        stores = Stores.connect(settings.load(broker_url=redis_url))
        first = ModelRef(name, 1)
        in_use = wait_until("the run waits", lambda: set(wanted.in_use(stores, first)) - {wanted.BEING_SUBMITTED})
        removed = cluster("models", "remove", name, "--force", "--broker", redis_url)
        assert f"{in_use.pop()}: failed, as {name}:1 is removed" in removed.stderr
        _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == errors.RunFailed.exit_code
    assert f"its bundle {name}:1 was removed" in err
    assert "Traceback" not in err


def test_what_it_requires_is_installed_when_the_owner_says_so(
    source: Path, machine: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"tinypkg==1.0 --hash=sha256:{wheels.wheel(tmp_path / 'index', 'tinypkg', '1.0')}"
    for key, value in {**wheels.NO_NETWORK, "PIP_FIND_LINKS": str(tmp_path / "index")}.items():
        monkeypatch.setenv(key, value)
    cluster("models", "push", "office", source, "--requirement", line, settings=machine)
    done = cluster("models", "install", "office", settings=machine)
    assert (done.returncode, "say so with --yes" in done.stderr) == (2, True)
    done = cluster("models", "install", "office:1", "--yes", settings=machine)
    assert (done.returncode, done.stdout) == (0, "installed tinypkg==1.0\n"), done.stderr
    assert "tinypkg is not installed" in done.stderr
    assert "all it requires is here" in cluster("models", "install", "office", settings=machine).stderr
    assert "not here" not in cluster("models", "show", "office", settings=machine).stdout


@pytest.mark.parametrize(
    ("job", "said", "why"),
    [
        ("onnx", None, 'the parameters in the model\'s bundle.json have no "size"'),
        ("onnx", {"size": [8, 6]}, "the parameter model must name the ONNX file to use (there: none)"),
        ("faces", None, "the bundle holds nothing that this job uses"),
    ],
)
def test_a_bundle_that_no_machine_can_use_is_not_pushed(
    job: str, said: Any, why: str, machine: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in machine.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "invoice.png").write_bytes(b"a picture")
    if said:
        (tmp_path / "birds" / "bundle.json").write_text(json.dumps({"parameters": said}))
    arguments = ["push", "birds", str(tmp_path / "birds"), "--job", job, "--force"]
    refused = CliRunner().invoke(models.command, arguments)
    assert isinstance(refused.exception, errors.BadBundle)
    assert f"birds: no machine can use this bundle: {why}" in str(refused.exception)
    assert FolderBundles(Path(machine["CLUSTER_MODELS_DIR"])).names() == []


def test_a_bundle_that_this_machine_tried_in_vain_needs_force(
    machine: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if problem := catalog.get("onnx").why_not_here():
        pytest.skip(problem)
    for key, value in machine.items():
        monkeypatch.setenv(key, value)
    arguments = ["push", "birds", onnx_models.write(tmp_path / "birds", labels=["cat", "dog"])]
    refused = CliRunner().invoke(models.command, arguments)
    assert "this machine has tried it: there are 2 labels, and the model gives 4 values" in str(refused.exception)
    assert CliRunner().invoke(models.command, [*arguments, "--force"]).exit_code == 0
    onnx_models.write(tmp_path / "birds")
    assert CliRunner().invoke(models.command, arguments).exit_code == 0


def test_doctor_tells_which_bundles_cannot_be_used(source: Path, machine: Mapping[str, str], tmp_path: Path) -> None:
    if problem := catalog.get("onnx").why_not_here():
        pytest.skip(problem)
    picture = tmp_path / "picture.png"
    picture.touch()
    bundles = FolderBundles(Path(machine["CLUSTER_MODELS_DIR"]))
    for job in ("onnx", "faces"):  # not by the command, which would refuse them
        bundles.push(job, Content(job, {"labels.txt": source / "labels.txt"}, ("click>=8",)), "a test")
    refused = cluster("submit", "--job", "onnx", picture, "--model", "onnx", settings=machine)
    assert refused.returncode == errors.JobUnavailable.exit_code  # it was fetched for that
    told = cluster("doctor", settings=machine).stdout.splitlines()
    assert any(line.startswith("bundle    onnx:1 for onnx: no, ") for line in told)
    assert "bundle    faces:1 for faces: yes" in told  # not fetched, so not tried


def test_every_change_is_announced_to_the_nodes(redis_url: str, source: Path) -> None:
    name = unused()
    with redis_client.connect(redis_url).pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.psubscribe("*pidbox")  # without the probe of a new client
        wait_until("the subscription", lambda: heard.get_message(timeout=1) is not None)
        for arguments in (("push", name, source), ("pin", f"{name}:1"), ("remove", name)):
            assert cluster("models", *arguments, "--broker", redis_url).returncode == 0
            message: Any = wait_until("a broadcast", lambda: heard.get_message(timeout=1))
            assert b"heartbeat_now" in message["data"] or "aGVhcnRiZWF0" in str(message["data"])


def test_a_push_that_is_interrupted_leaves_nothing_for_good(redis_url: str, tmp_path: Path) -> None:
    name = unused()
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "net.onnx").write_bytes(os.urandom(32 * PIECE_BYTES))  # like pieces are kept once
    client = redis_client.connect(redis_url)
    port = urlsplit(redis_url).port or 0
    with Proxy("127.0.0.1", port) as proxy:
        proxy.bytes_per_s = 4 * PIECE_BYTES
        url = redis_url.replace(str(port), str(proxy.port))
        arguments = ("models", "push", name, tmp_path / "large", "--job", "tagged", "--broker", url)
        with start_cluster(*arguments) as pushing:
            wait_until("three pieces", lambda: sum(map(client.hlen, client.scan_iter(f"*{name}*"))) >= 3, timeout_s=60)
            pushing.send_signal(signal.SIGINT)
            pushing.communicate(timeout=30)
    assert pushing.returncode == 130
    left = list(client.scan_iter(match=f"*{name}*"))
    assert all(client.pttl(key) > 0 for key in left)
    assert sum(client.hlen(key) for key in left) <= 1, "more than the piece that was on its way"
