"""Pool machines that people already have into one computer, on Celery and Redis.

    import cluster

    with cluster.connect() as c:
        texts = c.submit("ocr", "scans/").result()

Names are imported on first use, so that ``import cluster`` costs little. ``celery -A cluster worker`` finds ``app``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    from cluster import errors
    from cluster.client import Client, Run, connect, local, simulate
    from cluster.format import Format
    from cluster.functions import Lazy
    from cluster.job import Job
    from cluster.option import Option

    app: Celery

__version__ = "0.2.0"
__all__ = ["Client", "Format", "Job", "Lazy", "Option", "Run", "connect", "errors", "local", "simulate"]
MODULES = {
    "Client": "cluster.client",
    "Run": "cluster.client",
    "connect": "cluster.client",
    "local": "cluster.client",
    "simulate": "cluster.client",
    "Format": "cluster.format",
    "Job": "cluster.job",
    "Lazy": "cluster.functions",
    "Option": "cluster.option",
}


def __getattr__(name: str) -> Any:
    if name in MODULES:
        globals()[name] = getattr(importlib.import_module(MODULES[name]), name)
        return globals()[name]
    if name == "errors":
        return importlib.import_module("cluster.errors")
    if name == "app":
        from cluster import celery_app, errors, logs

        try:
            celery_app.refuse_options()
            globals()["app"] = celery_app.build()
        except errors.ClusterError as error:
            if "celery" not in Path(sys.argv[0]).parts[-2:]:
                raise
            raise logs.told(error) from None  # `celery` would show where it was raised, and little else
        return globals()["app"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "app"})
