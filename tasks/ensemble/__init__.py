"""Fit a sub-model on its part of a table, then say what all sub-models say of some rows."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import Any

from packaging.version import Version

from tasks import Turn

__all__ = ["why_unavailable", "work"]

LEAST = Version("1.6")


def why_unavailable() -> str:
    """Say why this machine cannot fit sub-models, or ""; looks for the libraries without importing them."""
    if importlib.util.find_spec("numpy") is None:
        return "NumPy is not installed"
    if importlib.util.find_spec("sklearn") is None:
        return 'scikit-learn is not installed (pip install "cluster[ensemble]")'
    try:
        found = importlib.metadata.version("scikit-learn")
    except importlib.metadata.PackageNotFoundError:  # built here, and not by pip
        return ""
    return "" if Version(found) >= LEAST else f"scikit-learn {found} is too old; an ensemble needs {LEAST} or newer"


def work(turn: Turn, *, seed: int = 0) -> dict[str, Any]:
    """Do a shard's turn: ``aggregators.ensemble.parts`` lists what each kind gives.

    Done again with the same turn it gives the same, but for ``seconds``; ``turn.kept`` may be empty or not. It takes
    one core.

    Args:
        turn: ``view`` is ``aggregators.ensemble.views.View``.
        seed: With the shard it decides what the sub-model draws.
    """
    from tasks.ensemble import turns

    return turns.do(turn, seed)
