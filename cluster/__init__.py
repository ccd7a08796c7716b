"""Pool machines that people already have into one computer, on Celery and Redis.

``celery -A cluster worker`` finds ``app`` here. It is built on first use, so that ``import cluster``
stays cheap for those who only want the jobs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    app: Celery

__version__ = "0.1.0"
__all__ = ["__version__", "app"]


def __getattr__(name: str) -> Any:
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
