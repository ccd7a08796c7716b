"""Work that leaves a trace outside of Redis: what a battle's chunks do, on whatever system.

Each node appends to a file of its own for each run: one line when a chunk begins, one when it is done.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

NODE = "CLUSTER_TEST_NODE"
"""The variable that names this incarnation of a node."""


def do(effects: str, run: str, chunk: str, seconds: float) -> None:
    """Begin, sleep, end. Moments are those of ``time.monotonic``, on Linux one clock for all processes."""
    _append(effects, run, chunk, "begin")
    time.sleep(seconds)
    _append(effects, run, chunk, "end")


def _append(effects: str, run: str, chunk: str, what: str) -> None:
    node = os.environ[NODE]
    record = {"run": run, "chunk": chunk, "node": node, "pid": os.getpid(), "what": what, "at": time.monotonic()}
    folder = Path(effects) / run
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / f"{node}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, json.dumps(record).encode() + b"\n")  # in one piece: a kill leaves no half line
    finally:
        os.close(handle)
