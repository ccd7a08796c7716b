"""Plain Celery: a group of empty tasks and a chord's body that adds up. ``empty_celery.py URL NUMBER OUTPUT``.

As its documentation shows it, all settings by default. Its worker is ``celery -A empty_celery worker``, with the
broker in EMPTY_BROKER_URL.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery, chord

BROKER = "EMPTY_BROKER_URL"


def nothing(number: int) -> int:
    """Counts as one."""
    return 1


def total(parts: list[int]) -> int:
    """All of them."""
    return sum(parts)


def build(url: str) -> Celery:
    """The app."""
    built = Celery("empty", broker=url, backend=url)
    built.task(nothing, name="empty.nothing", shared=False)
    built.task(total, name="empty.total", shared=False)
    return built


def submit(built: Celery, number: int) -> Any:
    """Publish the chord; its result is looked for twenty times a second, as waiting with ``get`` costs more."""
    task, body = built.tasks["empty.nothing"], built.tasks["empty.total"]
    pending = built.AsyncResult(chord([task.s(at) for at in range(number)], app=built)(body.s()).id)
    while not pending.ready():
        time.sleep(0.05)
    return pending.result


def main() -> None:
    """Count the tasks that ran."""
    url, number, output = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    built = build(url)
    print(json.dumps({"ready": time.time()}))
    found = submit(built, number)
    output.write_text(json.dumps({"items": found}))
    print(json.dumps({"done": time.time()}))


if url := os.environ.get(BROKER):
    app = build(url)
if __name__ == "__main__":
    main()
