"""What a battle leaves behind: executions, as the chunks' own traces tell them, and what the killer did.

All moments are seconds of ``time.monotonic``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple


class Execution(NamedTuple):
    """One start of a chunk."""

    run: str
    chunk: str
    node: str
    """One start of a node: a machine that is started again has another name here."""
    pid: int
    began: float
    ended: float = math.inf
    """Infinite where it never came to its end."""


class Event(NamedTuple):
    """Something that happened to a start of a node or (without one) to the broker. A node "died" by its own doing."""

    at: float
    what: Literal["kill", "died", "kill child", "pause", "resume", "broker down", "broker up"]
    node: str = ""
    pid: int = 0
    """The process of the pool that was killed."""


class Ended(NamedTuple):
    """What became of a run."""

    chunks: Sequence[str]
    result: Mapping[str, int] | None
    """Chunk -> how often it counts; None: there never was a result."""
    expected: Mapping[str, int]


def executions(folder: Path) -> list[Execution]:
    """Read what ``cluster_testwork`` wrote below the folder, in the order of their beginnings."""
    found: list[Execution] = []
    for path in folder.glob("*/*.jsonl"):
        found += match(map(json.loads, path.read_text().splitlines()))
    return sorted(found, key=lambda execution: execution.began)


def match(lines: Iterable[Mapping[str, object]]) -> list[Execution]:
    """Executions from the lines of one file: an end belongs to the last beginning in the same process."""
    done: list[Execution] = []
    open_: dict[object, Execution] = {}
    for line in lines:
        if line["what"] == "begin":
            if line["pid"] in open_:  # interrupted, and the process lived on
                done.append(open_.pop(line["pid"]))
            open_[line["pid"]] = Execution(
                str(line["run"]), str(line["chunk"]), str(line["node"]), int(str(line["pid"])), float(str(line["at"]))
            )
        else:
            done.append(open_.pop(line["pid"])._replace(ended=float(str(line["at"]))))
    return [*done, *open_.values()]
