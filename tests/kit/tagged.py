"""Bundles for the test job ``tagged``, nodes that serve them, and what can be asked of both."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from cluster.bundles.content import Content
from cluster.ledger.status import Status
from cluster.stores import Stores
from tests.kit.commands import cluster
from tests.kit.programs import MARK, Program, Worker
from tests.kit.waiting import wait_until

ITEMS = 24
"""Files of the folder that ``texts`` makes, each a chunk of its own."""


def texts(folder: Path) -> Path:
    """A new folder of so many files within ``folder``."""
    (folder / "in").mkdir()
    for at in range(ITEMS):
        (folder / "in" / f"{at:02}.txt").write_text("x")
    return folder / "in"


def node(name: str, url: str, folder: Path, *flags: str, **more: str) -> Worker:
    """A node with a cache of its own."""
    cache = {"CLUSTER_CACHE_DIR": str(folder / f"cache-{name}"), MARK: name}
    return Worker(name, url, folder, "-c", "1", *flags, **{**cache, **more})


def push(stores: Stores, name: str, tag: str, *requirements: str, **more: bytes) -> str:
    """As another machine that tells nobody: each node must find out with its next heartbeat."""
    files = {"tag.txt": tag.encode(), **{f"{key}.txt": data for key, data in more.items()}}
    manifest = stores.models.bundles.push(name, Content("tagged", files, requirements), "a test").manifest
    return manifest.reference


def command(url: str, source: Path, model: str, *more: str) -> list[str | Path]:
    """The arguments that submit ``source`` to a model."""
    return ["submit", "-q", "--job", "tagged", source, "--model", model, "--broker", url, *more]


def tags(done: subprocess.CompletedProcess[str]) -> set[str]:
    """What a run that is done has answered for its items, each once."""
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout).values())


def answer(process: Program) -> set[str]:
    """As ``tags``, of a program that may still go on."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(json.loads(out)) == ITEMS
    return set(json.loads(out).values())


def row(stores: Stores, name: str) -> Any:
    """A node as others see it."""
    return next(node for node in stores.nodes.nodes() if node.name == f"{name}@test")


def serves(stores: Stores, name: str, ref: str) -> None:
    """Wait until a node serves a version."""
    wait_until(f"{name} serves {ref}", lambda: f"tagged@{ref}" in row(stores, name).jobs, timeout_s=30)


def lacks(stores: Stores, name: str, ref: str) -> str:
    """Why a node does not serve a version, as far as it has told."""
    return str(row(stores, name).missing.get(f"tagged@{ref}", ""))


def running(stores: Stores) -> list[Status]:
    """Runs of the job ``tagged`` that go on."""
    return [run for run in stores.ledger.runs.latest(5) if run.job == "tagged" and run.state == "running"]


def at_work(stores: Stores) -> set[str]:
    """The nodes that have begun a chunk, which they may hold at its gate."""
    return {claim.worker.node for run in running(stores) for claim in stores.ledger.chunks.running(run.run)}


def train(url: str, source: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run the job ``tag-train``, which makes the next version of the bundle ``name``."""
    return cluster("submit", "-q", "--job", "tag-train", source, "--model", name, "--broker", url)
