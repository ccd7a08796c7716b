"""A page in a process of its own, until that is killed: ``python -m … BROKER FOLDER TICK_S``."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from cluster import settings
from cluster.client import Client
from cluster.roles import Role
from cluster.web import channels
from tests.kit import pages


def main(broker: str, folder: Path, tick_s: float) -> None:
    """Print where it is, and the cookie of an admin."""
    channels.TICK_S = tick_s
    with Client(settings.Settings(broker_url=broker)) as client, pages.shown(client, folder) as page:
        session = page.visitor(Role.ADMIN).asker.cookies["cluster"]
        print(json.dumps({"url": page.url, "session": session}), flush=True)
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
