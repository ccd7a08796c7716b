"""See that `tasks`, `splitters` and `aggregators` are ours.

Their names are common ones, and Celery puts the working directory first on the path: started in a
folder with a `tasks.py`, a worker would run that instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

from cluster import errors

PACKAGES = ("tasks", "splitters", "aggregators")


def for_child() -> dict[str, str]:
    """Variables with which a Python that is started in any folder finds the packages that this one finds."""
    own = sys.path if sys.flags.safe_path else sys.path[1:]  # the first is the folder of what was started
    return {"PYTHONPATH": os.pathsep.join(path for path in own if path), "PYTHONSAFEPATH": "1"}


def environment(**more: str) -> dict[str, str]:
    """The whole environment of such a Python: this one's, with ``more``."""
    return {**os.environ, **for_child(), **more}


def chosen(names: Collection[str]) -> dict[str, str]:
    """Return the named variables of this environment that are set, for a program that gets no others."""
    return {name: value for name, value in os.environ.items() if name in names}


def check() -> None:
    """Compare where each package would come from with where this one came from.

    Raises:
        errors.UsageError: Another one is in front; the message names both paths.
    """
    ours = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        expected = ours / name / "__init__.py"
        if found != expected:
            raise errors.UsageError(
                f"the package {name!r} would come from {found or 'nowhere'} and not from {expected}:"
                " start in another folder, or rename what is there"
            )
