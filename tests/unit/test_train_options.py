"""The options of the job train, as they are given and as they stand in a run."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregators import layer_groups, nets, train_options
from cluster import catalog, errors
from cluster.client import session
from tests.kit.programs import ROOT
from tests.kit.tables import save

LAYERS = '[[layers]]\ntype = "linear"\nunits = 8\n\n[[layers]]\ntype = "linear"\nunits = "outputs"\n'


def run_options(**given: Any) -> dict[str, Any]:
    return catalog.TRAIN.options_of_run({"model": "m", **given})


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    chance = np.random.default_rng(1)
    return save(tmp_path / "digits.npz", X=chance.normal(size=(400, 64)), y=np.arange(400) % 10)


def test_the_functions_of_train_take_its_options() -> None:
    catalog.TRAIN.verify()


def test_a_run_without_options_has_the_defaults() -> None:
    options = run_options()
    assert options == catalog.TRAIN.check_options({"model": "m"})
    assert (options["mode"], options["server"], options["optimizer"], options["bits"]) == (
        "local",
        "auto",
        "adamw",
        4,
    )


def test_a_file_of_layers_travels_as_its_text(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(LAYERS)
    text = run_options(net=str(tmp_path / "model.toml"))["net"]
    assert text == LAYERS
    assert run_options(net=text)["net"] == LAYERS
    assert run_options(net="cnn:16,32")["net"] == "cnn:16,32"


def test_a_plan_of_groups_travels_as_its_text(tmp_path: Path) -> None:
    net = nets.resolve(nets.parse("mlp:8"), (16,), 3)
    plan = layer_groups.to_toml(layer_groups.plan(net.parameters, 4))
    (tmp_path / "plan.toml").write_text(plan)
    assert run_options(joint=str(tmp_path / "plan.toml"))["joint"] == plan
    assert run_options(joint="auto")["joint"] == "auto"


def test_a_file_of_test_rows_is_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert run_options(test_file="test.csv")["test_file"] == str(tmp_path / "test.csv")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sync", {"server": "adam", "optimizer": "sgd", "server_lr": 0.001, "lr": 0.001}),
        ("async", {"server": "sgd", "server_momentum": 0, "server_lr": 1, "lr": 0.001}),
    ],
)
def test_a_mode_has_defaults_of_its_own(mode: str, expected: dict[str, Any]) -> None:
    options = run_options(mode=mode)
    assert {name: options[name] for name in expected} == expected
    assert run_options(mode="sync", optimizer="adam")["optimizer"] == "adam"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"mode": "async", "server_momentum": 0.9}, "momentum on changes from older weights diverges"),
    ({"mode": "async", "server": "adam"}, "momentum on changes from older weights diverges"),
    ({"mode": "sync", "steps": 5}, "--mode sync makes one step a round"),
    ({"steps": 5, "round_seconds": 1.0}, "--steps and --round-seconds cannot go together"),
    ({"staleness": 2}, "--staleness is for --mode async"),
    ({"mode": "async", "topology": "tree"}, "--mode async cannot go with --topology tree"),
    ({"mode": "asink"}, "--mode is 'asink'; it must be one of local, sync, async; did you mean async"),
    ({"test": 0.3, "test_file": "test_train_options.py"}, "--test and --test-file cannot go together"),
    ({"test_file": "none.csv"}, "none.csv: No such file"),
    ({"net": "none.toml"}, "none.toml: No such file"),
    ({"net": "mlpx:3"}, "there is no net 'mlpx:3'"),
    ({"joint": "none.toml"}, "none.toml: No such file"),
    ({"momentum": 1.0}, "--momentum is 1.0; it must be below 1"),
    ({"momentum": -0.1}, "--momentum is -0.1; it must be 0 or more"),
    ({"server_momentum": 1.0}, "--server-momentum is 1.0; it must be below 1"),
    ({"bits": 9}, "--bits is 9; it must be 2 to 8, 16 or 32"),
    ({"down_bits": 20}, "--down-bits is 20; it must be 2 to 8, 16 or 32"),
]


@pytest.mark.parametrize(("given", "told"), REFUSED, ids=str)
def test_options_that_do_not_go_together_are_refused(
    given: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    with pytest.raises(errors.UsageError, match=told):
        run_options(**given)


@pytest.mark.parametrize(
    ("data", "told"), [(b"x\xff\n", "is no text in UTF-8"), (b"#" * 70_000, "has more than 65,536 bytes")]
)
@pytest.mark.parametrize("name", ["net", "joint"])
def test_a_file_that_is_none_of_layers_is_refused(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / "a.toml").write_bytes(data)
    with pytest.raises(errors.UsageError, match=f"a.toml {told}"):
        run_options(**{name: str(tmp_path / "a.toml")})


def test_a_plan_tells_net_groups_and_traffic(digits: Path) -> None:
    told = catalog.TRAIN.plan_of(digits, {"model": "m", "net": "mlp:128", "shards": 4})
    assert "# 280 training rows in 4 shards, 40 for validation, 80 for the test.\n" in told
    assert "# A row has 64 numbers; y is 10 classes.\n" in told
    assert "# 1.linear" in told
    weights = 64 * 128 + 128 + 128 * 10 + 10
    assert f"# all {weights:>29,}\n".split() == told.split("# group")[0].strip().split("\n")[-2].split()
    up = (64 * 128 + 128 * 10) // 2 + 4 * ((64 * 128 + 128 * 10) // 256) + 2 * 138
    assert f"takes {up:,} bytes up from each of 4 shards" in told
    assert f"takes {4 * weights:,} up and as many down" in told


def test_a_plan_tells_why_changes_are_averaged(digits: Path) -> None:
    told = catalog.TRAIN.plan_of(digits, {"model": "m", "shards": 4, "steps": 25})
    assert "# Note: a round passes the 70 rows of a shard 11.4 times, so the server optimizer is average" in told
    assert "so the server" not in catalog.TRAIN.plan_of(digits, {"model": "m", "shards": 4, "steps": 2})
    assert "so the server" not in catalog.TRAIN.plan_of(digits, {"model": "m", "shards": 4, "server": "average"})


def test_a_plan_can_be_given_as_the_groups(digits: Path, tmp_path: Path) -> None:
    told = catalog.TRAIN.plan_of(digits, {"model": "m", "net": "cnn:4", "size": "8x8"})
    (tmp_path / "plan.toml").write_text(told.replace("bits = 4", "bits = 6"))
    assert {group["bits"] for group in tomllib.loads(told)["group"]} == {4, 16}
    again = catalog.TRAIN.plan_of(
        digits, {"model": "m", "net": "cnn:4", "size": "8x8", "joint": str(tmp_path / "plan.toml")}
    )
    assert {group["bits"] for group in tomllib.loads(again)["group"]} == {6, 16}


def test_a_plan_of_a_net_that_does_not_fit_says_which_layer(digits: Path) -> None:
    with pytest.raises(errors.UsageError, match=r"1\.conv2d"):
        catalog.TRAIN.plan_of(digits, {"model": "m", "net": "cnn:4"})
    (digits.parent / "plan.toml").write_text('[[group]]\nname = "a"\nlayers = ["nothing"]\n')
    with pytest.raises(errors.UsageError, match="the net has no layer 'nothing'"):
        catalog.TRAIN.plan_of(digits, {"model": "m", "joint": str(digits.parent / "plan.toml")})


def test_a_net_that_does_not_fit_the_input_fails_before_the_run_starts(digits: Path) -> None:
    options = run_options(net="cnn:4")
    with pytest.raises(errors.UsageError, match=r"^layer 1\.conv2d gets samples of the shape 64"):
        session.Input(catalog.TRAIN, str(digits), options)
    assert next(session.Input(catalog.TRAIN, str(digits), run_options(net="mlp:4")).chunks())[0].name == "about"


def test_a_net_that_does_not_fit_is_wrong_use_in_one_process(digits: Path) -> None:
    with pytest.raises(errors.UsageError, match=r"^layer 1\.conv2d gets samples of the shape 64"):
        catalog.TRAIN.run_locally(digits, model="m", net="cnn:4")


def test_a_training_is_known_without_its_libraries() -> None:
    code = (
        "import sys; from cluster import catalog; job = catalog.TRAIN; job.options_schema;"
        "job.check_options({'model': 'm'}); job.rounds.why_unavailable(); job.why_not_here(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"torch", "numpy", "safetensors", "sklearn", "PIL"} & set(done.stdout.split())


def test_who_lacks_a_library_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train_options.why_unavailable() == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert train_options.why_unavailable() == 'numpy is not installed (pip install "cluster[tables]")'
