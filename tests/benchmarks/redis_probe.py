"""Ask the private Redis of a run what it holds, while it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from cluster.embedded import LOOPBACK


class RedisProbe:
    """What Redis itself counts, as of the last look. Zero until it was reached."""

    def __init__(self) -> None:
        self.used_peak_bytes = 0
        """Its ``used_memory_peak``: what it had allocated at most, without what its allocator adds."""
        self.commands = 0
        self.input_bytes = 0
        """What all clients sent to it."""
        self.server = ""
        """Its version and allocator."""
        self._client: redis.Redis | None = None

    def look(self, folder: Path) -> None:
        """Ask once; ``folder`` is the private one, with the configuration in it."""
        try:
            client = self._client or _connect(folder)
            found: Any = client.info()
        except (OSError, KeyError, ValueError, redis.RedisError):
            return  # it is not there yet, or no more
        self._client = client
        self.used_peak_bytes = found["used_memory_peak"]
        self.commands = found["total_commands_processed"]
        self.input_bytes = found["total_net_input_bytes"]
        self.server = f"Redis {found['redis_version']} ({found['mem_allocator']})"


def _connect(folder: Path) -> redis.Redis:
    lines = (folder / "redis.conf").read_text(encoding="utf-8").splitlines()
    config = dict(line.split(" ", 1) for line in lines)
    return redis.Redis(
        LOOPBACK, int(config["port"]), password=config["requirepass"], socket_timeout=5, socket_connect_timeout=1
    )
