"""A decoder that does, for a file that begins with "bad", what the rest of the file says; for tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from tasks import _decoder_child
from tasks._child import Answer
from tasks._decoder_child import Opened

CRASHES = "PYTHON_CLUSTER_TEST_CRASHES"
"""A variable, one of those that the decoder is given; with it the second page of each file ends it."""


def answer(opened: Opened, head: Mapping[str, Any], body: bytes) -> Answer:
    """Crash, take long, or do what the true decoder does."""
    if body.startswith(b"bad "):
        _decoder_child._limit(head["limits"])
        match body.split()[1].decode():
            case "wait":
                time.sleep(60)
            case "spin":
                while True:
                    pass
            case name:
                if name != "SIGKILL":
                    signal.signal(getattr(signal, name), signal.SIG_DFL)
                os.kill(os.getpid(), getattr(signal, name))
    if head.get("number") == 2 and CRASHES in os.environ:
        os.kill(os.getpid(), signal.SIGSEGV)
    return _decoder_child.answer(opened, head, body)


if __name__ == "__main__":
    _decoder_child.main(answer)
