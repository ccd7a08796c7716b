"""Run a gateway of HTTP requests in this process."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import errors

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.gateway.server import Running

PACKAGES = ("starlette", "uvicorn", "httptools", "python_multipart")
"""What the extra ``serve`` brings."""


def run(
    client: Client, host: str, port: int, cert: Path | None, key: Path | None
) -> AbstractContextManager[Running]:  # fmt: skip
    """A gateway for all services of the client's cluster; see ``Client.gateway``."""
    require_installed()
    from cluster.gateway.server import Running

    config = client.session.config if client.is_private else client.config
    running: AbstractContextManager[Running] = Running(config, host=host, port=port, cert=cert, key=key)
    return running


def require_installed() -> None:
    """See that what a gateway needs is installed.

    Raises:
        errors.NotInstalled: It is not; the message says what to type.
    """
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        raise errors.NotInstalled(
            f"a gateway needs {', '.join(missing)}, not installed on this machine; to add it:"
            f' {sys.executable} -m pip install "cluster[serve]"'
        )
