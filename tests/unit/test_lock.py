"""What the recipes install is locked in requirements/, and the lock fits pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.kit.programs import ROOT

FILES = ("dev", "run")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def entries(name: str) -> list[str]:
    """The requirements of a file of requirements/, each with its hashes on one line."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", "")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(name: str) -> dict[str, Requirement]:
    found = [Requirement(line.partition("--hash")[0].strip()) for line in entries(name)]
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def wanted(name: str) -> list[str]:
    """What ``make run`` or ``make test`` needs: for the build, of the project itself, of its extras."""
    found = project()
    extras = found["project"]["optional-dependencies"]
    names = ["ocr"] if name == "run" else [extra for extra in extras if extra not in ("all", "train")]
    needs = [*found["build-system"]["requires"], *found["dependency-groups"]["build"]]
    own = f"{found['project']['name']}["  # another of our extras, whose lines are wanted anyway
    ours = (line for extra in names for line in extras[extra] if not line.startswith(own))
    return [*needs, *found["project"]["dependencies"], *ours]


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_of_ours_is_locked_within_its_range(name: str) -> None:
    locked = pins(name)
    for line in wanted(name):
        requirement = Requirement(line)
        [pin] = locked[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{line}: {pin.version} is locked; type make lock"


@pytest.mark.parametrize("name", FILES)
def test_every_locked_package_has_hashes_and_no_place(name: str) -> None:
    for line in entries(name):
        pinned = r"[a-z0-9.-]+==[^/@ ]+( ; [a-z0-9_ '.<>=!()]+)?( +--hash=sha256:[0-9a-f]{64})+"
        assert re.fullmatch(pinned, line, re.IGNORECASE), line


def test_make_test_after_make_run_changes_no_version() -> None:
    every = pins("dev")
    assert {name: every.get(name) for name in pins("run")} == pins("run")
