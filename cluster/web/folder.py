"""The folder of a page: uploads, indexed results, pictures, the certificate; its owner's alone (mode 0700).

The page of a cluster that `cluster web` starts itself keeps it within that cluster's folder; the page of a named
cluster has a folder of its own for each cluster, so that no page takes the uploads of another cluster for its own.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from cluster import errors
from cluster.settings import Settings

NAME, LOCK = "page", "page.lock"


def of_cluster(config: Settings, data: Path | None) -> Path:
    """The folder of the page of the cluster that the settings name.

    Args:
        config: Names the broker.
        data: Where `--data` wants it; None: in ``data_dir``.
    """
    found = urlsplit(config.given_broker().partition(";")[0])
    path = found.path.strip("/") or "0"
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{found.hostname or 'localhost'} {found.port or 6379} {path}")
    return (data or config.data_folder / NAME) / name


@contextmanager
def opened(folder: Path) -> Iterator[Path]:
    """The folder, made where there is none; it is another page's to open only afterwards.

    Raises:
        errors.UsageError: Another page has it open, or it cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise errors.UsageError(
            f"the page's folder {folder}: {error.strerror or error}; name another one with --data"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.UsageError(
                f"another `cluster web` has {folder} open; `cluster web link` prints a link to its page"
            ) from None
        yield folder
