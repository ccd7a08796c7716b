"""Find all descendants of a process without reading all processes of the machine."""

from __future__ import annotations

from pathlib import Path

import psutil

PROC = Path("/proc")


class ProcessTree:
    """The descendants of ``main``.

    psutil asks every process of the machine for its parent, once a second in every worker; Linux can list the
    children of one.
    """

    def __init__(self, main: psutil.Process) -> None:
        self._main = main
        self._known: list[psutil.Process] = []

    def branches(self) -> list[list[psutil.Process]]:
        """For each child of ``main`` itself and its descendants, parents before their children."""
        parents = self._parents()
        if parents is None:
            found = self._main.children(recursive=True)
            parents = {process.pid: parent for process in found if (parent := _parent(process)) is not None}
        # A list of children that is read while one of them ends may lack another one.
        for process in self._known:
            if process.pid not in parents and process.is_running():
                parent = _parent(process)
                if parent is not None and (parent == self._main.pid or parent in parents):
                    parents[process.pid] = parent
        branches: dict[int, list[psutil.Process]] = {}
        eldest: dict[int, int] = {}
        for pid, parent in parents.items():
            try:
                process = psutil.Process(pid)
            except psutil.NoSuchProcess:
                continue
            eldest[pid] = eldest.get(parent, pid)
            branches.setdefault(eldest[pid], []).append(process)
        self._known = [process for branch in branches.values() for process in branch]
        return list(branches.values())

    def _parents(self) -> dict[int, int] | None:
        """Process -> its parent, parents first, as the kernel lists them; None where it does not."""
        parents: dict[int, int] = {}
        generation = [self._main.pid]
        while generation:
            parent = generation.pop(0)
            try:
                lists = [(thread / "children").read_text() for thread in (PROC / str(parent) / "task").iterdir()]
            except FileNotFoundError:
                if parent == self._main.pid:  # no Linux, or one built without these lists
                    return None
                continue  # it, or a thread of it, has just ended
            except OSError:
                continue
            for pid in map(int, " ".join(lists).split()):
                parents[pid] = parent
                generation.append(pid)
        return parents


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return None
