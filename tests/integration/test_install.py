"""Installing what a bundle requires, with a real pip and no network."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import errors
from cluster.bundles import requirements
from cluster.bundles.install import install
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
        wheels.wheel(index, "tinypkg", number)
        install([f"tinypkg=={number}"], folder)
        assert requirements.missing([f"tinypkg=={number}"], folder) == {}
    assert left(folder) == ["packages"]


@pytest.mark.parametrize(
    ("required", "says"),
    [
        (["tinypkg>=1"], r"names no single version; write tinypkg==VERSION"),
        (["tinypkg==1.*"], r"names no single version"),
        (["tinypkg"], r"names no single version"),
        (["tinypkg==3.0"], r"(?s)pip could not install.*No matching distribution found for tinypkg==3\.0"),
        (["tinypkg==1.0 --hash=sha256:" + "0" * 64], r"(?s)pip could not install.*DO NOT MATCH THE HASHES"),
        (["tinypkg==1.0 --hash=sha256:" + "0" * 64, "other==1.0"], r"give hashes to all requirements or to none"),
        (["needy==1.0"], r"needy needs tinypkg: tinypkg is not installed; the bundle's requirements must name all"),
        (["source==1.0"], r"(?s)pip could not install.*source==1\.0"),
    ],
)
def test_what_cannot_be_installed_says_why_and_leaves_nothing(
    required: list[str], says: str, index: Path, tmp_path: Path
) -> None:
    wheels.wheel(index, "tinypkg", "1.0")
    wheels.wheel(index, "needy", "1.0", ["tinypkg"])
    (index / "source-1.0.tar.gz").write_bytes(b"would run setup.py")
    folder = tmp_path / "cache" / "packages"
    with pytest.raises(errors.NotInstalled, match=says):
        install(required, folder)
    assert not folder.exists()
    assert not folder.parent.exists() or left(folder) == []


def test_pip_is_ended_when_it_takes_too_long(index: Path, tmp_path: Path) -> None:
    wheels.wheel(index, "tinypkg", "1.0")
    began = time.monotonic()
    with pytest.raises(errors.NotInstalled, match=r"pip took longer than 0\.05 s"):
        install(["tinypkg==1.0"], tmp_path / "cache" / "packages", timeout_s=0.05)
    assert time.monotonic() - began < 10
    assert left(tmp_path / "cache" / "packages") == []
