"""A job that misbehaves on request, known to every worker that has this folder on its path."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cluster_testwork
from celery import Celery

from aggregators import Model, by_name, counts
from aggregators.counts import Counts
from cluster.job import Job
from cluster.messaging import publish
from cluster.option import Option
from splitters import Chunk, Item, files
from tasks import Part


def split(source: Sequence[Path], *, chunk_size: int = 1) -> Iterator[Chunk]:
    """So many files a chunk."""
    chunk: Chunk = []
    for found in files.walk(source):
        chunk.append(files.read(found))
        if len(chunk) == chunk_size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def measure(chunk: Chunk, *, seconds: float = 0.0, trace: str = "") -> Part[dict[str, str]]:
    """Give each item's length. What its bytes say may make it misbehave first.

    Each call appends a line to the file ``trace``, so that a test can count them.
    """
    for item in chunk:
        if trace:
            with Path(trace).open("a") as stream:
                stream.write(f"{item.name} {os.getpid()}\n")
        starts = Path(trace).read_text().count(f"{item.name} ") if trace else 1
        if item.data.startswith(b"fail once") and starts < 2:
            raise RuntimeError("asked to fail once")
        if item.data.startswith(b"fail always"):
            raise RuntimeError("asked to fail always")
        if item.data.startswith(b"kill always"):
            os.kill(os.getpid(), signal.SIGKILL)
        if item.data.startswith(b"kill once") and starts < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if item.data.startswith(b"sleep once") and starts < 2:
            time.sleep(600)
        if item.data.startswith(b"meet"):  # with so many others, which must run at the same time
            while Path(trace).read_text().count("\n") < int(item.data.split()[1]):
                time.sleep(0.05)
        if item.data.startswith(b"sleep long"):
            time.sleep(600)
        while item.data.startswith(b"sleep deaf"):
            with contextlib.suppress(Exception):
                time.sleep(600)
    time.sleep(seconds * float(os.environ.get("CLUSTER_TEST_SLOWER", "1")))
    if any(item.data.startswith(b"no part") for item in chunk):
        return Part({"it": object()})  # type: ignore[dict-item]
    refused = {item.name: "asked to refuse" for item in chunk if item.data.startswith(b"refuse")}
    return Part({item.name: str(len(item.data)) for item in chunk if item.name not in refused}, refused)


MEASURE = Job(
    name="measure",
    about="measure files",
    split=split,
    task=measure,
    aggregate=by_name.join,
    options=(Option("seconds", float, 0.0, "seconds a chunk"), Option("trace", str, "", "file of calls")),
    serves=True,
)


def die_before_batch(number: int) -> None:
    """Kill this process when it has entered the batch ``number`` in the ledger and would publish it."""
    publish_batch = publish.publish_batch

    def publish_or_die(app: Celery, requirement: str, run: str, batch: int, *more: Any) -> None:
        if batch == number:
            os.kill(os.getpid(), signal.SIGKILL)
        publish_batch(app, requirement, run, batch, *more)

    publish.publish_batch = publish_or_die  # type: ignore[assignment]


if "CLUSTER_TEST_DIE_BEFORE_BATCH" in os.environ:
    die_before_batch(int(os.environ["CLUSTER_TEST_DIE_BEFORE_BATCH"]))


def explode(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    """Kill the process that joins."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


ONCE = dataclasses.replace(MEASURE, name="once", about="measure files, none twice for speed", idempotent=False)
DATED = dataclasses.replace(
    MEASURE, name="dated", about="measure files", version=os.environ.get("CLUSTER_TEST_VERSION", "1")
)


def lacks_tool(*, tool: str | None = None) -> str:
    """A machine has the tools that its CLUSTER_TEST_TOOLS names."""
    return "" if tool is None or tool in os.environ.get("CLUSTER_TEST_TOOLS", "").split() else f"it has no {tool}"


def handle(chunk: Chunk, *, tool: str = "hand", grip: str = "firm") -> Part[dict[str, str]]:
    """Tell who did each item, and what with."""
    time.sleep(0.05)
    return Part({item.name: f"{tool} of {os.environ.get('CLUSTER_TEST_MARK', '')}" for item in chunk})


PICKY = Job(
    name="picky",
    about="needs tools",
    split=split,
    task=handle,
    aggregate=by_name.join,
    options=(Option("tool", str, "hand", "what with"), Option("grip", str, "firm", "and how")),
    why_unavailable=lacks_tool,
    needs=("tool", "grip"),
)


UNIT_BYTES = 64 * 2**20


def weigh(*, units: int | None = None) -> int | None:
    """The memory that a chunk takes, as a node is to believe; one unit is that of a slot."""
    return None if units in (None, 1) else UNIT_BYTES * units


def carry(chunk: Chunk, *, units: int = 1, trace: str = "", together: int = 1) -> Part[dict[str, str]]:
    """Tell when each chunk begins and ends, in the file ``trace``; none ends before ``together`` have begun."""
    with Path(trace).open("a", buffering=1) as stream:
        stream.write("begin\n")
        while Path(trace).read_text().count("begin") < together:
            time.sleep(0.02)
        time.sleep(0.2)  # in which another one would begin that must not
        stream.write("end\n")
    return Part({item.name: str(units) for item in chunk})


WEIGHTY = Job(
    name="weighty",
    about="take memory",
    split=split,
    task=carry,
    aggregate=by_name.join,
    options=(
        Option("units", int, 1, "how much"),
        Option("trace", str, "", "file of calls"),
        Option("together", int, 1, "chunks that wait for each other"),
    ),
    memory_bytes=weigh,
    needs=("units",),
)


def tag(chunk: Chunk, *, model: str | None = None, seconds: float = 0.05, gate: str = "") -> Part[dict[str, str]]:
    """Tell who did each item, and with which model; a package named in it is imported.

    With a ``gate``, nothing is done before there is a file of that name.
    """
    while gate and not Path(gate).exists():
        time.sleep(0.02)
    time.sleep(seconds)
    folder = Path(str(model))
    package = folder / "package.txt"
    said = (folder / "tag.txt").read_text()
    if package.exists():
        said += f" {importlib.import_module(package.read_text()).VERSION}"
    return Part({item.name: f"{said} of {os.environ.get('CLUSTER_TEST_MARK', '')}" for item in chunk})


def read(chunk: Chunk, *, model: str | None = None) -> Part[dict[str, str]]:
    """Each item's text."""
    return Part({item.name: item.data.decode() for item in chunk})


def train(part: dict[str, str], *, model: str | None = None) -> Model:
    """A tag of all texts, after that of the version before."""
    if not part:
        raise ValueError("nothing to learn from")
    before = (Path(model) / "tag.txt").read_text() if model else ""
    said = before + "".join(text for _, text in sorted(part.items()))
    return Model({"tag.txt": said.encode()}, {"items": len(part)}, {"said": said})


MODEL = Option("model", str, None, "which bundle", required=True)
TAGGED = Job(
    name="tagged",
    about="tag files",
    split=split,
    task=tag,
    aggregate=by_name.join,
    options=(MODEL, Option("seconds", float, 0.05, "seconds a chunk"), Option("gate", str, "", "file to wait for")),
    needs=("model",),
    bundles="tagged",
    serves=True,
)
TAG_TRAIN = Job(
    name="tag-train",
    about="make a tag",
    split=split,
    task=read,
    aggregate=by_name.join,
    finish=train,
    options=(MODEL,),
    needs=("model",),
    bundles="tagged",
    trains=True,
)
BOMB = dataclasses.replace(MEASURE, name="bomb", about="kill whoever joins", aggregate=explode)


def fight(chunk: Chunk, *, effects: str = "", label: str = "") -> Part[Counts]:
    """Sleep for as many seconds as each item says, and count it once.

    With ``effects``, the folder of ``cluster_testwork``; without, nothing is slept and nothing told.
    """
    if effects:
        for item in chunk:
            cluster_testwork.do(effects, label, item.name, float(item.data))
    return Part(counts.of({item.name: 1 for item in chunk}))


BATTLE = Job(
    name="battle",
    about="sleep and leave a trace",
    split=split,
    task=fight,
    aggregate=counts.add,
    finish=counts.to_dict,
    options=(Option("effects", str, "", "folder of traces"), Option("label", str, "", "the run's name in them")),
)


def wait(chunk: Chunk, *, seconds: float = 0.0) -> Part[Counts]:
    """Wait instead of computing, and count each item once, under its name and the sha256 of its bytes."""
    time.sleep(seconds)
    return Part(counts.of({f"{item.name} {hashlib.sha256(item.data).hexdigest()}": 1 for item in chunk}))


WAIT = Job(
    name="wait",
    about="wait, and tell what was fetched",
    split=split,
    task=wait,
    aggregate=counts.add,
    finish=counts.to_dict,
    options=(Option("seconds", float, 0.0, "seconds a chunk"),),
)


def deal(source: Sequence[Path], *, chunk_size: int = 1, number: int = 100) -> Iterator[Chunk]:
    """So many items without a byte, whatever the source."""
    for start in range(0, number, chunk_size):
        yield [Item(str(at), b"") for at in range(start, min(start + chunk_size, number))]


def idle(chunk: Chunk) -> Part[Counts]:
    """Do nothing, but count the items."""
    return Part(counts.of({"items": len(chunk)}))


EMPTY = Job(
    name="empty",
    about="do nothing",
    split=deal,
    task=idle,
    aggregate=counts.add,
    finish=counts.to_dict,
    options=(Option("number", int, 100, "how many items", minimum=1),),
)
