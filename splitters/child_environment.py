"""The environment of programs that parse the files of strangers: without passwords and keys."""

from __future__ import annotations

import os

NAMES = frozenset({"HOME", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "TZ", "VIRTUAL_ENV"})
BEGINNINGS = ("DYLD_", "LANG", "LC_", "LD_", "MALLOC_", "OMP_", "PYTHON")


def variables(**more: str) -> dict[str, str]:
    """Those variables of this process that a Python needs to start and to find its libraries, and ``more``."""
    kept = {name: value for name, value in os.environ.items() if name in NAMES or name.startswith(BEGINNINGS)}
    return {**kept, **more}
