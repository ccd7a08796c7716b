"""The shape of the code that ARCHITECTURE.md promises, and that its papers name what exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.programs import ROOT

PACKAGES = ("cluster", "tasks", "splitters", "aggregators")
HEAVY = {"PIL", "tesserocr", "pytesseract", "cv2", "numpy", "torch", "rich", "fsspec", "onnx"}
PAPERS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere in it."""
    return {name.partition(".")[0] for name in names(ast.walk(ast.parse(path.read_text())))}


def names(nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("splitters", {"cluster", "celery", "kombu", "redis", "tasks", "aggregators"}),
        ("aggregators", {"cluster", "celery", "kombu", "redis", "tasks", "splitters"}),
        ("tasks", {"cluster", "celery", "kombu", "redis"}),
    ],
)
def test_imports_point_one_way(package: str, forbidden: set[str]) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert not imported(path) & forbidden, path


def test_only_one_file_reads_the_environment() -> None:
    readers = [path for path in (ROOT / "cluster").rglob("*.py") if "os.environ" in path.read_text()]
    # All but the first only hand the whole environment on to a child.
    allowed = {"cluster/settings.py", "cluster/local/guard.py", "cluster/placement.py"}
    assert {path.relative_to(ROOT).as_posix() for path in readers} == allowed


def test_commands_write_by_functions_that_no_text_can_steer_a_terminal_through() -> None:
    """``say``, ``print_text`` and ``print_json``; the others write what they have made plain themselves."""
    written = re.compile(r"click\.s?echo|\bprint\(|std(out|err)\.(buffer\.)?write|std(out|err)\.buffer[,)]")
    writers = {path.name for path in (ROOT / "cluster" / "cli").glob("*.py") if written.search(path.read_text())}
    assert writers == {"__init__.py", "bundle_texts.py", "output.py", "progress.py", "shared.py"}


def test_heavy_libraries_are_loaded_only_when_used() -> None:
    code = "import sys, cluster.catalog, cluster.celery_app, cluster.cli.submit; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not HEAVY & {name.partition(".")[0] for name in done.stdout.split()}


def test_commands_that_only_look_and_stop_start_without_celery() -> None:
    commands = ("cancel", "doctor", "models", "nodes", "result", "runs", "status", "submit")
    code = f"import sys, {', '.join(f'cluster.cli.{name}' for name in commands)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"celery", "kombu"} & {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("paper", PAPERS)
def test_every_path_and_recipe_that_a_paper_names_exists(paper: str) -> None:
    text = (ROOT / paper).read_text()
    recipes = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for recipe in re.findall(r"\bmake ([a-z-]+)\b`", text):
        assert recipe in recipes, f"{paper} names `make {recipe}`"
    for path in re.findall(r"`((?:cluster|tasks|splitters|aggregators|deploy|tests|\.ci)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), f"{paper} names {path}"


def test_every_redis_key_is_made_in_one_file() -> None:
    for path in (ROOT / "cluster").rglob("*.py"):
        if path.name != "keys.py":
            assert not re.search(r"[\"']cluster:(run|blobs|bundle|roles)", path.read_text()), path
