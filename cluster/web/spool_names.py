"""The names of files in an upload: no two files have one, and none is a folder of another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from itertools import count

from splitters.spool import Entry


def named(entry: Entry, names: Mapping[str, Entry], folders: Mapping[str, str]) -> Entry:
    """The file by a name that no other content has; the one that is known where this content has come before.

    Raises:
        ValueError: Its name is a folder of another one, or the other way round.
    """
    require_no_clash(entry.name, names, folders)
    for number in count(1):
        name = entry.name if number == 1 else _numbered(entry.name, number)
        known = names.get(name)
        if known is None and name not in folders:
            return entry._replace(name=name)
        if known is not None and known.sha256 == entry.sha256:
            return known
    raise AssertionError  # pragma: no cover


def require_no_clash(name: str, names: Mapping[str, Entry], folders: Mapping[str, str]) -> None:
    """See that no file is a folder of another one.

    Raises:
        ValueError: It is; the message names the two.
    """
    if name in folders:
        raise ValueError(f"it is a folder of {folders[name][:200]!r}, which has arrived: rename one of the two")
    for folder in _folders(name):
        if folder in names:
            raise ValueError(f"{folder[:200]!r}, which has arrived, is a file and no folder: rename one of the two")


def note_folders(name: str, folders: MutableMapping[str, str]) -> None:
    """Note the folders of a file that has arrived."""
    for folder in _folders(name):
        if folder in folders:
            return  # and so are those above it
        folders[folder] = name


def _folders(name: str) -> Iterator[str]:
    """The folders that a file is in, the innermost first."""
    while (at := name.rfind("/")) > 0:
        name = name[:at]
        yield name


def _numbered(name: str, number: int) -> str:
    folder, slash, file = name.rpartition("/")
    stem, suffix = os.path.splitext(file)  # noqa: PTH122 - a Path would change what was sent
    return f"{folder}{slash}{stem}~{number}{suffix}"
