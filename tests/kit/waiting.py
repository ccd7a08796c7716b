"""Wait for a condition, not for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import IO, TypeVar

Value = TypeVar("Value")


def wait_until(what: str, condition: Callable[[], Value], timeout_s: float = 30.0) -> Value:
    """Ask until the answer is true, and give it; fail with ``what`` when it does not come to be."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


def line_with(words: str, stream: IO[str], timeout_s: float = 30.0) -> str:
    """Read the lines of a program until one holds the words, and give that one; fail with what came instead."""
    said: list[str] = []

    def read() -> None:
        for line in iter(stream.readline, ""):
            said.append(line)
            if words in line:
                break

    reader = threading.Thread(target=read, daemon=True)  # if it waits in vain, it ends with the program
    reader.start()
    reader.join(timeout_s)
    if not said or words not in said[-1]:
        when = f"within {timeout_s} s" if reader.is_alive() else "before the end"
        raise AssertionError(f"no line with {words!r} {when}, only: {''.join(said)!r}")
    return said[-1]
