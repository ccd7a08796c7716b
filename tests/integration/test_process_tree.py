"""What a process has started is found as psutil finds it, and nothing that lives is ever overlooked."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.worker import process_tree
from cluster.worker.process_tree import ProcessTree

PARENT = "import subprocess; child = subprocess.Popen(['sleep', '60']); print(flush=True); child.wait()"


@pytest.fixture
def parent() -> Iterator[psutil.Process]:
    """A child of ours that has one of its own."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        found = psutil.Process(program.pid)
        children = found.children()
        yield found
        for process in (*children, found):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def branch(found: ProcessTree, of: psutil.Process) -> list[psutil.Process]:
    return next((processes for processes in found.branches() if processes[0] == of), [])


def test_it_is_what_psutil_finds_among_all_processes(parent: psutil.Process, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ProcessTree(psutil.Process())
    expected = [parent, *parent.children(recursive=True)]
    assert len(expected) == 2
    assert branch(here, parent) == expected
    monkeypatch.setattr(process_tree, "PROC", Path("/nowhere"))  # as where the kernel lists no children
    assert branch(here, parent) == expected


def test_one_that_a_list_lacks_for_a_moment_is_not_overlooked(
    parent: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ProcessTree(psutil.Process())
    before = branch(here, parent)
    monkeypatch.setattr(here, "_parents", dict)
    assert branch(here, parent) == before


def test_one_that_has_ended_is_no_more(parent: psutil.Process) -> None:
    here = ProcessTree(psutil.Process())
    [child] = parent.children()
    assert branch(here, parent) == [parent, child]
    child.kill()
    parent.wait()
    assert branch(here, parent) == []
