"""How the cluster and this page do: Redis, queues, disk, versions; and the same numbers for Prometheus."""

from __future__ import annotations

import platform
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel
from starlette.responses import Response

import cluster
from cluster import addresses
from cluster.client.system import System as Cluster
from cluster.roles import Role
from cluster.web import metrics, node_rows
from cluster.web.routes import Asked, Route, Stream, View

if TYPE_CHECKING:
    from cluster.client.nodes import Node

LOOPBACK = "127.0.0.1"
FLOWER_PORT = 5555
"""Where `cluster flower` listens by default."""
PROBE_S = 0.2
MEASURE_S = 10.0
"""The folders of the page are measured again after so many seconds."""
HELD = ("uploads", "results", "pictures")
"""What the page keeps, each in a folder of that name."""


class Disk(BaseModel):
    """The folder of this page, and the disk that it is on."""

    folder: str
    """Told to admins; "" to others."""
    held_bytes: dict[str, int]
    """Folder -> the bytes of what is in it."""
    free_bytes: int
    total_bytes: int


class System(BaseModel):
    """How the cluster and this page do."""

    cluster: Cluster
    disk: Disk
    version: str
    python: str
    versions: dict[str, str]
    """Program -> the version that most nodes have."""
    unlike: dict[str, dict[str, str]]
    """Node -> its programs of another version than most others have, or than this page."""
    flower: str
    """The address of Flower, where it runs on the page's machine; else ""."""


class Sizes:
    """How much the folders of the page hold; measured now and then, as there may be many files."""

    def __init__(self) -> None:
        self._found: dict[Path, tuple[float, dict[str, int]]] = {}
        self._measuring = threading.Lock()

    def of(self, folder: Path) -> dict[str, int]:
        """The bytes in each of its folders ``HELD``. While one thread measures, others get what was found before."""
        found, is_fresh = self._last(folder)
        if is_fresh or not self._measuring.acquire(blocking=not found):
            return found
        try:
            found, is_fresh = self._last(folder)
            if not is_fresh:
                found = {name: _size_bytes(folder / name) for name in HELD}
                self._found[folder] = time.monotonic(), found
            return found
        finally:
            self._measuring.release()

    def _last(self, folder: Path) -> tuple[dict[str, int], bool]:
        """What was found last, and whether that is new enough."""
        at_s, found = self._found.get(folder, (0.0, {}))
        return found, bool(found) and time.monotonic() - at_s <= MEASURE_S


sizes = Sizes()


def show(asked: Asked) -> System:
    """How all of it does."""
    nodes = asked.web.client.nodes()
    return System(
        cluster=asked.web.client.system(nodes),
        disk=_disk(asked.web.folder, is_told=asked.who.may(Role.ADMIN)),
        version=cluster.__version__,
        python=platform.python_version(),
        versions=node_rows.usual_versions(nodes),
        unlike=_unlike(nodes),
        flower=_flower(),
    )


def give_metrics(asked: Asked) -> Response:
    """The numbers, as Prometheus reads them."""
    nodes = asked.web.client.nodes()
    text = metrics.text(nodes, asked.web.client.system(nodes), _disk(asked.web.folder))
    return Response(text, media_type=metrics.CONTENT_TYPE)


def _disk(folder: Path, *, is_told: bool = False) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(
        folder=str(folder) if is_told else "",
        held_bytes=sizes.of(folder),
        free_bytes=usage.free,
        total_bytes=usage.total,
    )


def _size_bytes(folder: Path) -> int:
    """The bytes of the files in a folder; of those that go meanwhile, none."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _unlike(nodes: list[Node]) -> dict[str, dict[str, str]]:
    found = {row.node.name: dict(row.unlike) for row in node_rows.rows(nodes, {})}
    for node in nodes:
        theirs = node.versions.get("cluster", cluster.__version__)
        if node.state in node_rows.HERE and theirs != cluster.__version__:
            found[node.name]["cluster"] = theirs
    return {name: versions for name, versions in found.items() if versions}


def _flower() -> str:
    """Flower's address: one that other machines reach, too, where it listens there."""
    for host in (addresses.reachable(addresses.ALL[0]), LOOPBACK):
        try:
            socket.create_connection((host, FLOWER_PORT), PROBE_S).close()
        except OSError:
            continue
        return f"http://{host}:{FLOWER_PORT}"
    return ""


ROUTES: tuple[Route, ...] = (
    View("/nodes/system", show, "nodes_system.html", "How the cluster and this page do."),
    Stream("/metrics", give_metrics, "Numbers for Prometheus.", metrics.CONTENT_TYPE),
)
