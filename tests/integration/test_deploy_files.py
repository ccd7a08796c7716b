"""What can be checked of the deployment without Docker or systemd: forms, and that all they name exists."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import Settings
from tests.kit.commands import cluster
from tests.kit.programs import ROOT

yaml = pytest.importorskip("yaml")
COMPOSE = ROOT / "docker-compose.yml"
SENTINEL = ROOT / "deploy" / "sentinel"


@pytest.fixture
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


@pytest.mark.parametrize("file", [COMPOSE, SENTINEL / "docker-compose.yml"])
def test_a_compose_file_has_the_form_of_the_compose_specification(file: Path) -> None:
    pytest.importorskip("check_jsonschema")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_service_has_a_health_check_and_starts_again(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"redis", "worker", "master", "flower"}
    for service in compose["services"].values():
        assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"


def test_flower_is_for_this_machine_and_asks_for_a_password(compose: dict[str, Any]) -> None:
    service = compose["services"]["flower"]
    assert [port.split(":5555")[0] for port in service["ports"]] == ["${FLOWER_LISTEN:-127.0.0.1}"]
    assert service["environment"]["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")
    page = (ROOT / "docs" / "howto" / "monitoring.md").read_text()
    lines = re.findall(r"`([^`]*celery -A cluster flower[^`]*--[^`]*)`", page)
    assert lines
    for line in lines:
        assert line.startswith("FLOWER_BASIC_AUTH=user:password ")
        assert line.endswith("--address=127.0.0.1")


def test_one_of_the_machines_of_sentinel_has_all_it_needs() -> None:
    found = yaml.safe_load((SENTINEL / "docker-compose.yml").read_text())
    assert set(found["services"]) == {"redis", "sentinel"}
    example = re.findall(r"^(\w+)=$", (SENTINEL / "env.example").read_text(), re.MULTILINE)
    used = set(re.findall(r"\$\{?(CLUSTER_\w+)", (ROOT / "deploy" / "start-redis.sh").read_text())) - {"CLUSTER_DATA"}
    for name, service in found["services"].items():
        assert service["command"][-1] == name
        assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"
        assert used == set(example) <= set(service["environment"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (SENTINEL / source).exists() if source.startswith(".") else source in found["volumes"]


def test_every_file_that_is_mounted_or_copied_exists(compose: dict[str, Any]) -> None:
    build = compose["services"]["worker"]["build"]
    named = [build["dockerfile"]]
    named += [volume.split(":")[0] for volume in compose["services"]["redis"]["volumes"] if volume.startswith("./")]
    for line in (ROOT / build["dockerfile"]).read_text().splitlines():
        if line.startswith("COPY"):
            named += shlex.split(line)[1:-1]
    for name in named:
        assert (ROOT / name).exists(), name


def test_every_variable_stands_in_the_example(compose: dict[str, Any]) -> None:
    example = (ROOT / "deploy" / "env.example").read_text()
    for name in set(re.findall(r"\$\{(\w+)", COMPOSE.read_text())):
        assert re.search(rf"^{name}=", example, re.MULTILINE), name
    for name in re.findall(r"^# (CLUSTER_\w+)=", example, re.MULTILINE):
        assert name.removeprefix("CLUSTER_").lower() in Settings.model_fields


def test_no_secret_has_a_default() -> None:
    assert re.findall(r"^(\w+)=(.+)$", (ROOT / "deploy" / "env.example").read_text(), re.MULTILINE) == [
        ("CLUSTER_LISTEN", "127.0.0.1"),
        ("FLOWER_LISTEN", "127.0.0.1"),
    ]


@pytest.mark.parametrize("command", ["celery -A cluster worker", "celery -A cluster flower", "cluster nodes"])
def test_every_command_exists(command: str) -> None:
    program, *words = shlex.split(command)
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), *words, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_systemd_unit_starts_the_worker_and_gives_it_time_to_end() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "deploy" / "cluster-worker.service")
    assert unit["Service"]["ExecStart"].endswith("bin/celery -A cluster worker --loglevel INFO")
    assert unit["Service"]["KillMode"] == "mixed"
    assert int(unit["Service"]["TimeoutStopSec"]) > 60
    assert "StartLimitIntervalSec" not in unit["Service"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("cluster-hub", "up --host 0.0.0.0 --port 6380 --data /var/lib/cluster/hub"),
        (
            "cluster-watch",
            "submit --job ocr ${SCANS} --watch --lang ${LANGUAGES} --format pdf -o ${TEXTS}",
        ),
    ],
)
def test_the_other_units_start_commands_that_exist(name: str, command: str) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "deploy" / f"{name}.service")
    assert unit["Service"]["ExecStart"] == f"/opt/cluster/bin/cluster {command}"
    assert unit["Install"]["WantedBy"]
    flags = [word for word in command.split() if word.startswith("-")]
    told = cluster(command.split()[0], *(["--job", "ocr"] if "--job" in flags else []), "--help").stdout
    assert [flag for flag in flags if flag not in told] == []
