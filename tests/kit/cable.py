"""A machine of its own for a node, as far as the network goes: a network namespace, and the cable that leads to it.

Linux only, and only for root: iproute2 makes both.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from types import TracebackType
from typing import Self

import pytest


def needed() -> None:
    """Skip the test where there can be no namespace, and say why."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    with Cable():
        pass


class Cable:
    """A namespace, and a pair of interfaces between it and this machine. Use it in a ``with``.

    ``host`` is this machine's address on the cable; programs started with ``prefix`` reach nothing else.
    """

    def __init__(self) -> None:
        unique = secrets.token_hex(4)
        self._namespace, self._here, self._there = f"test-{unique}", f"t{unique}a", f"t{unique}b"
        subnet = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(256)}"
        self.host, self._guest = f"{subnet}.1", f"{subnet}.2"
        self.prefix = ["ip", "netns", "exec", self._namespace]

    def __enter__(self) -> Self:
        made = _ip("netns", "add", self._namespace)
        if made:
            pytest.skip(f"no network namespace can be made here: {made}")
        problem = (
            _ip("link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self._namespace)
            or _ip("addr", "add", f"{self.host}/24", "dev", self._here)
            or _ip("link", "set", self._here, "up")
            or _ip("-n", self._namespace, "addr", "add", f"{self._guest}/24", "dev", self._there)
            or _ip("-n", self._namespace, "link", "set", self._there, "up")
            or _ip("-n", self._namespace, "link", "set", "lo", "up")
        )
        if problem:
            self.__exit__(None, None, None)
            pytest.skip(f"no network namespace can be connected here: {problem}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ip("link", "del", self._here)
        _ip("netns", "del", self._namespace)

    def cut(self) -> None:
        """Unplug it: no packet passes, and neither side is told."""
        self._set("down")

    def mend(self) -> None:
        """Plug it in again. The kernel may go on saying "no route to host" for a second, as with a real one."""
        self._set("up")

    def _set(self, state: str) -> None:
        problem = _ip("link", "set", self._here, state)
        assert not problem, problem


def _ip(*arguments: str) -> str:
    """Run ``ip``; gives what it complains of, or ""."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"code {done.returncode}" if done.returncode else ""
