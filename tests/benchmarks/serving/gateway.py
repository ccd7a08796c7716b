"""A gateway in a process of its own, until its input ends: ``python -m tests.benchmarks.serving.gateway``."""

from __future__ import annotations

import sys

from cluster import settings
from cluster.gateway.server import Running


def main() -> None:
    """Print the URL, then serve."""
    with Running(settings.load(), port=0) as gateway:
        sys.stdout.write(f"{gateway.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
