"""Names of files within a bundle: they must mean the same file on every system, below the bundle's folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePosixPath

DESCRIPTION = "bundle.json"
"""The file that each folder of a bundle has besides the bundle's own files."""
DRAFT = ".draft-"
"""How the names of files and folders begin that are still being written, beside those that are whole."""
ILLEGAL = frozenset('\\:*?"<>|')
MAX_PATH_BYTES = 1000
MAX_PART_BYTES = 200
MAX_DEPTH = 16


def problem(path: str) -> str:
    """Why a file of a bundle may not have this path, or ""."""
    parts = path.split("/")
    if not path or "" in parts or ".." in parts or "." in parts:
        return "leaves the folder of the bundle, or has an empty part"
    if any(part.startswith(".") for part in parts):
        return "has a part that starts with a dot"
    if not path.isprintable() or ILLEGAL & set(path):
        return "has a character that not every system takes in names"
    try:
        longest = max(len(part.encode()) for part in parts)
        if len(path.encode()) > MAX_PATH_BYTES or longest > MAX_PART_BYTES or len(parts) > MAX_DEPTH:
            return "is too long or too deep"
    except UnicodeEncodeError:
        return "is no UTF-8"
    return "is kept for the description of the bundle" if path.casefold() == DESCRIPTION else ""


def clash(paths: Iterable[str]) -> str:
    """Why these files cannot lie in one folder on every system, or ""."""
    folded = sorted((_folded(path), path) for path in paths)
    for (one, first), (other, second) in pairwise(folded):
        if one == other:
            return f"{first!r} and {second!r} are the same name on some systems; rename one"
    spelt: dict[str, str] = {}
    for _, path in folded:
        for folder in map(str, PurePosixPath(path).parents):
            if (other := spelt.setdefault(_folded(folder), folder)) != folder:
                return f"{other!r} and {folder!r} are the same folder on some systems; rename one"
    names = {one for one, _ in folded}
    for one, path in folded:
        parts = one.split("/")
        if any("/".join(parts[:depth]) in names for depth in range(1, len(parts))):
            return f"{path!r} lies below what is a file"
    return ""


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
