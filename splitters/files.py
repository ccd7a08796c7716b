"""Walk files and folders in a stable order and name what is found. The other splitters build on it."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from splitters import MAX_ITEM_BYTES, Item

NO_FILE = "not a file, or a folder that cannot be listed"
"""The reason under which anything is reported that has no bytes to read."""


class Found(NamedTuple):
    """A file of the input and the name under which it is reported."""

    name: str
    path: Path


def walk(source: Sequence[Path], suffixes: Collection[str] = ()) -> Iterator[Found]:
    """Yield every file under ``source``, folders recursively, sorted by name within a folder.

    Args:
        source: Files and folders. A root that lies inside another one is not walked twice.
        suffixes: Lower-case, with the dot; empty for all. A file given by name is
            taken whatever its suffix.

    Names that start with a dot are passed over, links to folders are not followed.
    A file in a folder is named by its path relative to the given folder, a file given by itself
    by its name. Where two roots hold the same name, each gets its root's folder in front.

    Raises:
        FileNotFoundError: A given root does not exist.
    """
    roots = _distinct(source)
    folders = [root for root in roots if root.is_dir()]
    given_files = Counter(root.name for root in roots if not root.is_dir())
    for root, label in zip(roots, _labels(roots), strict=True):
        if root.is_dir():
            for path in _files_below(root, suffixes):
                relative = path.relative_to(root)
                taken = given_files[relative.as_posix()] or any(
                    os.path.lexists(other / relative) for other in folders if other != root
                )
                yield Found(_text(f"{label}/{relative.as_posix()}" if taken else relative.as_posix()), path)
        else:
            taken = given_files[root.name] > 1 or any(os.path.lexists(f / root.name) for f in folders)
            yield Found(_text(f"{label}/{root.name}" if taken else root.name), root)


def read(found: Found) -> Item:
    """The file as one item; with its ``problem`` when it is too large, no file, or cannot be read."""
    try:
        status = found.path.stat()
        if not stat.S_ISREG(status.st_mode):
            return Item(found.name, b"", NO_FILE)
        if status.st_size > MAX_ITEM_BYTES:
            return Item(found.name, b"", too_large(status.st_size))
        return Item(found.name, found.path.read_bytes())
    except OSError as error:
        return Item(found.name, b"", cannot_read(error))


def cannot_read(error: OSError) -> str:
    """The reason under which an unreadable file is reported."""
    return f"cannot be read: {error.strerror or error}"


def too_large(size_bytes: int) -> str:
    """The reason under which a file over the limit is reported."""
    return f"{size_bytes:,} bytes is over the limit of {MAX_ITEM_BYTES:,}"


def _text(name: str) -> str:
    """The name with bytes that are no UTF-8 written as ``\\xff``: names travel as text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _distinct(source: Sequence[Path]) -> list[Path]:
    """The roots without those that another root holds already; links resolved for the comparison."""
    kept: dict[Path, Path] = {}
    for root in source:
        kept.setdefault(root.resolve(strict=True), root)
    return [root for real, root in kept.items() if not any(parent in kept for parent in real.parents)]


def _labels(roots: Sequence[Path]) -> list[str]:
    """A folder's name for each root, told apart as ``scans``, ``scans~2`` where two are alike."""
    names = [(root if root.is_dir() else root.parent).resolve().name or "root" for root in roots]
    places = {root if root.is_dir() else root.parent: name for root, name in zip(roots, names, strict=True)}
    seen: Counter[str] = Counter()
    labels = {}
    for place, name in places.items():
        seen[name] += 1
        labels[place] = name if seen[name] == 1 else f"{name}~{seen[name]}"
    return [labels[root if root.is_dir() else root.parent] for root in roots]


def _files_below(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            # Only names and kinds are held, never a whole tree: one folder at a time.
            found = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries if e.name[0] != ".")
    except OSError:
        yield folder  # read() reports it under its name: a folder that cannot be listed is not silently lost
        return
    for name, is_folder in found:
        path = folder / name
        if is_folder:
            yield from _files_below(path, suffixes)
        elif (not suffixes or path.suffix.lower() in suffixes) and not path.is_dir():
            yield path
