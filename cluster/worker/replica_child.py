"""A replica's process, as the node that started it sees it: its orders, its last words, its end."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, cast

from pydantic import SecretStr

from cluster import placement
from cluster.services.desired import Service
from cluster.services.replicas import Row
from cluster.settings import Settings

TOLD_LINES = 5
COMMAND = (sys.executable, "-m", "cluster.worker.replica")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
log = logging.getLogger(__name__)


class Child:
    """A replica's process. Its log lines become those of this process.

    Args:
        service: Of which it is.
        id_: ``names.Replica``; its lease is taken.
        node: This one.
        config: Of this node.
    """

    def __init__(self, service: Service, id_: str, node: str, config: Settings) -> None:
        self.service = service
        self.id = id_
        self.row = Row(node=node)
        self.began = time.monotonic()
        self.was_ready = False
        self.drains_until: float | None = None
        self.last_lines: deque[str] = deque(maxlen=TOLD_LINES)
        self._told: dict[str, Any] = {}
        self._process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            env={**dict.fromkeys(THREADS, "1"), **placement.environment()},
        )  # fmt: skip
        self._stdin, self._stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        self._send(
            {"config": _settings(config), "service": service.model_dump(mode="json"), "node": node, "id": id_}
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, name=f"replica {id_}", daemon=True)
        self.reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def serve(self, versions: list[str | None], problems: Mapping[str, str], *, has_current: bool) -> None:
        """Have it serve these versions by its service's options, the current one among them or not yet; said once."""
        order = {
            "versions": versions, "has_current": has_current, "options": self.service.options,
            "problems": dict(problems),
        }  # fmt: skip
        if order != self._told and self.drains_until is None:
            self._told = order
            self._send(order)

    def drain(self, seconds: float) -> None:
        """Have it end, within so many seconds."""
        if self.drains_until is None:
            self.drains_until = time.monotonic() + seconds
            self._send({"versions": [], "drain": True})

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self.close()

    def close(self) -> None:
        """Close the pipe to one that has ended. The other one ends with its process."""
        with suppress(OSError):
            self._stdin.close()

    def _send(self, line: Mapping[str, Any]) -> None:
        with suppress(OSError, ValueError):  # it has ended, which ``code`` tells
            self._stdin.write(json.dumps(line) + "\n")
            self._stdin.flush()

    def _read(self) -> None:
        with self._stdout:
            for line in self._stdout:
                self.last_lines.append(line.rstrip())
                log.info("replica of %s: %s", self.service.name, line.rstrip(), extra={"event": "replica"})


def ended(code: int, last_lines: Sequence[str]) -> str:
    """A sentence about a process that ended by itself: how, and its last words."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    said = " | ".join(line for line in last_lines if line.strip())
    return f"its process ended ({how}){f': {said}' if said else ''}"[:500]


def _settings(config: Settings) -> dict[str, Any]:
    """The settings as JSON, with the secrets that JSON of them hides."""
    found = config.model_dump(mode="json", exclude_unset=True)
    values = {name: getattr(config, name) for name in found}
    return {**found, **{name: one.get_secret_value() for name, one in values.items() if isinstance(one, SecretStr)}}
