"""Installing what a bundle requires, with a real pip and no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import errors
from cluster.bundles import requirements
from cluster.bundles.install import FAILED, _environment, install
from tests.kit import wheels


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in wheels.NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir())


def test_what_is_missing_is_installed_beside_and_nowhere_else(index: Path, tmp_path: Path) -> None:
    sha256 = wheels.wheel(index, "tinypkg", "1.0")
    folder = tmp_path / "cache" / "packages"
    required = [f"tinypkg==1.0 --hash=sha256:{sha256}", "click>=8"]
    assert install(required, folder) == required[:1]
    assert requirements.missing(required, folder) == {}
    assert list(requirements.missing(required)) == required[:1]
    assert not (folder / "click").exists()
    assert left(folder) == ["packages"]
    assert install(required, folder) == []
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import tinypkg; print(tinypkg.VERSION)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "1.0"


def test_other_requirements_take_the_place_of_the_older_ones(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "packages"
    for number in ("1.0", "2.0"):
        required = [f"tinypkg=={number} --hash=sha256:{wheels.wheel(index, 'tinypkg', number)}"]
        install(required, folder)
        assert requirements.missing(required, folder) == {}
    assert left(folder) == ["packages"]


@pytest.mark.parametrize(
    ("required", "says"),
    [
        (["tinypkg>=1"], r"names no single version; write tinypkg==VERSION"),
        (["tinypkg==1.*"], r"names no single version"),
        (["tinypkg"], r"names no single version"),
        (["tinypkg==1.0"], r"'tinypkg==1.0' .* has no hash; write tinypkg==1.0 --hash=sha256:"),
        (["tinypkg==1.0 --hash=sha256:" + "0" * 64, "other==1.0"], r"'other==1.0' .* has no hash"),
        (["needy==1.0 {needy}"], r"needy needs tinypkg: tinypkg is not installed; the bundle's requirements must name"),
    ],
)
def test_what_cannot_be_installed_says_why_and_leaves_nothing(
    required: list[str], says: str, index: Path, tmp_path: Path
) -> None:
    wheels.wheel(index, "tinypkg", "1.0")
    needy = f"--hash=sha256:{wheels.wheel(index, 'needy', '1.0', ['tinypkg'])}"
    folder = tmp_path / "cache" / "packages"
    with pytest.raises(errors.NotInstalled, match=says):
        install([line.format(needy=needy) for line in required], folder)
    assert not folder.exists()
    assert not folder.parent.exists() or left(folder) == []


@pytest.mark.parametrize(
    ("required", "says"),
    [
        ("tinypkg==3.0", r"No matching distribution found for tinypkg==3\.0"),
        ("tinypkg==1.0", r"DO NOT MATCH THE HASHES"),
        ("source==1.0", r"source==1\.0"),
    ],
)
def test_what_pip_says_stands_in_the_log_of_the_machine_alone(
    required: str, says: str, index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wheels.wheel(index, "tinypkg", "1.0")
    (index / "source-1.0.tar.gz").write_bytes(b"would run setup.py")
    with pytest.raises(errors.NotInstalled) as told:
        install([f"{required} --hash=sha256:{'0' * 64}"], tmp_path / "cache" / "packages")
    assert str(told.value) == FAILED
    assert re.search(says, caplog.text)


def test_pip_knows_how_to_reach_packages_and_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the owner's configuration, nothing that says what to install or where; later sections win."""
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a.example/simple\nretries = 1\n[install]\nindex-url = https://b.example/simple\n"
        "user = true\nno-binary = :all:\nextra-index-url = https://c\n  https://d\n"
    )
    for name in os.environ:
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    secret = {"CLUSTER_BROKER_URL": "redis://:secret@h/0", "AWS_SECRET_ACCESS_KEY": "secret", "PYTHONPATH": "/x"}
    given = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_RETRIES": "7", "PIP_TARGET": "/x", "PIP_USER": "1"}
    for name, value in {**secret, **given, "https_proxy": "http://proxy"}.items():
        monkeypatch.setenv(name, value)
    env = _environment()
    assert not secret.keys() & env.keys()
    assert env["https_proxy"] == "http://proxy"
    assert {name: env.get(name) for name in ("PIP_INDEX_URL", "PIP_RETRIES", "PIP_CONFIG_FILE")} == {
        "PIP_INDEX_URL": "https://b.example/simple", "PIP_RETRIES": "7", "PIP_CONFIG_FILE": os.devnull,
    }  # fmt: skip
    assert env["PIP_EXTRA_INDEX_URL"].split() == ["https://c", "https://d"]
    assert not {"PIP_TARGET", "PIP_USER", "PIP_NO_BINARY"} & env.keys()


def test_pip_is_ended_when_it_takes_too_long(index: Path, tmp_path: Path) -> None:
    line = f"tinypkg==1.0 --hash=sha256:{wheels.wheel(index, 'tinypkg', '1.0')}"
    began = time.monotonic()
    with pytest.raises(errors.NotInstalled, match=r"pip took longer than 0\.05 s"):
        install([line], tmp_path / "cache" / "packages", timeout_s=0.05)
    assert time.monotonic() - began < 10
    assert left(tmp_path / "cache" / "packages") == []
