"""What a bundle requires: what is missing is told in words, and packages of two bundles do not mix."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from cluster import errors
from cluster.bundles import requirements
from tests.kit.wheels import installed

CLICK = version("click")


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two packages with an extra beside those of this Python, whose own metadata change with any release."""
    folder = tmp_path_factory.mktemp("installed")
    installed(folder, "whole", "1.0", ["click; extra == 'more'"])
    installed(folder, "partial", "1.0", ["never-heard-of; extra == 'more'"])
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    monkeypatch.setattr(requirements, "_active", [])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    "line",
    [
        f"click=={CLICK}",
        "click>=8,<99",
        "Click",
        f"click=={CLICK} --hash=sha256:{'0' * 64}",
        "never-heard-of==1; python_version < '3'",
        "never-heard-of; sys_platform == 'plan9'",
        "whole[more]",
    ],
)
def test_what_is_there_is_not_missing(line: str) -> None:
    assert requirements.missing([line]) == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("click==0.1", f"click {CLICK} is installed; ==0.1 is required"),
        ("never-heard-of==1", "never-heard-of is not installed"),
        ("never-heard-of; python_version > '3'", "never-heard-of is not installed"),
        ("partial[more]", "partial[more] needs never-heard-of: never-heard-of is not installed"),
    ],
)
def test_what_is_missing_is_said_with_the_reason(line: str, why: str) -> None:
    assert requirements.missing([line, "click"]) == {line: why}


def test_the_bundles_own_packages_count_first(tmp_path: Path) -> None:
    installed(tmp_path, "tinypkg", "1.0")
    installed(tmp_path, "click", "0.1")
    assert requirements.missing(["tinypkg==1.0", "click==0.1"], tmp_path) == {}
    assert requirements.missing([f"click=={CLICK}"], tmp_path) == {
        f"click=={CLICK}": f"click 0.1 is installed; =={CLICK} is required"
    }
    assert list(requirements.missing(["tinypkg==1.0"])) == ["tinypkg==1.0"]
    assert requirements.missing(["tinypkg==1.0"], tmp_path / "nowhere")


def test_what_the_bundles_own_packages_need_must_be_there(tmp_path: Path) -> None:
    needs = ["other>=2", "click", "unneeded; extra == 'more'", "old; python_version < '3'"]
    installed(tmp_path, "tinypkg", "1.0", needs)
    assert requirements.missing(["tinypkg"], tmp_path) == {"tinypkg": "tinypkg needs other: other is not installed"}
    installed(tmp_path, "other", "1.0")
    assert "other 1.0 is installed; >=2 is required" in requirements.missing(["tinypkg"], tmp_path)["tinypkg"]
    installed(tmp_path / "right", "tinypkg", "1.0", needs)
    installed(tmp_path / "right", "other", "2.5", ["tinypkg"])  # in a circle
    assert requirements.missing(["tinypkg"], tmp_path / "right") == {}
    assert (
        "tinypkg[more] needs unneeded" in requirements.missing(["tinypkg[more]"], tmp_path / "right")["tinypkg[more]"]
    )


def test_packages_are_used_after_activating_and_once(tmp_path: Path) -> None:
    folder = installed(tmp_path / "one", "tinypkg", "1.0")
    for _ in range(2):
        requirements.activate(folder)
    assert sys.path.count(str(folder)) == 1
    assert importlib.import_module("tinypkg").VERSION == "1.0"
    before = list(sys.path)
    assert requirements.conflict(folder) == ""
    assert sys.path == before


def test_a_process_that_works_with_no_packages_does_so_until_it_gets_some(tmp_path: Path) -> None:
    before = list(sys.path)
    requirements.activate(None)
    requirements.activate(tmp_path / "nothing installed")
    assert sys.path == before
    requirements.activate(installed(tmp_path / "one", "tinypkg", "1.0"))
    for other in (None, installed(tmp_path / "two", "tinypkg", "1.0")):
        with pytest.raises(errors.OtherProcess, match="this process works with"):
            requirements.activate(other)


def test_a_package_that_is_loaded_from_elsewhere_is_a_conflict(tmp_path: Path) -> None:
    importlib.import_module("click")
    with pytest.raises(errors.OtherProcess, match=r"click 0\.1 is required, and this process has click from"):
        requirements.activate(installed(tmp_path, "click", "0.1"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("numpy  ==  1.26.4", "numpy==1.26.4"),
        (f"a==1   --hash=sha256:{'b' * 64}  --hash=sha256:{'a' * 64}",
         f"a==1 --hash=sha256:{'a' * 64} --hash=sha256:{'b' * 64}"),
    ],
)  # fmt: skip
def test_a_requirement_has_one_plain_form(line: str, found: str) -> None:
    assert requirements.plain(line) == found
    assert requirements.plain(found) == found


@pytest.mark.parametrize(
    ("line", "odd"),
    [
        ("x===${SECRET}", "==="),
        ("x===1.0", "==="),
        ("x==${SECRET}", "$"),
        ("x==1; python_version > '${SECRET}'", "$"),
        ("x==1; python_version > ' --index-url=https://evil.example'", "-"),
        ("x==1 --index-url=https://evil.example", "-"),
        ("-r other.txt", "-"),
        ("--hash=sha256:0", "-"),
        ("x @ https://evil.example/x.whl", "@"),
        ("https://evil.example/x.whl", ":"),
        ("./x.whl", "/"),
        ("x==1 # a comment", "#"),
        ("x==1 \\", "\\"),
        ("x==１", "１"),
    ],
)
def test_a_line_that_pip_reads_more_into_is_refused(line: str, odd: str) -> None:
    with pytest.raises(errors.BadBundle, match=re.escape(f"has {odd!r} in it")):
        requirements.plain(line)
