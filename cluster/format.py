"""A way to write the result of a job: what its writer takes, and what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple


class Format(NamedTuple):
    """A way to write a result, from its parts as they are read, so that a long result need not be held.

    ``write(parts, out)`` gets a binary stream, with ``folder`` the path of a folder that exists, with ``file`` that of
    a draft; and those options of its job that it has parameters for. A writer of a folder with a parameter ``wrote``
    calls ``wrote(document, path)`` when the file of a document is in place, by the name that items have before ``#``;
    with None for a path when it leaves a document alone, as it will each time.
    """

    write: Callable[..., None]
    folder: bool = False
    needs: str = ""
    """A module that it is written with, where that is none of the job's own."""
    install: str = ""
    """The requirement that pip installs to have that module, as ``cluster[parquet]``."""
    sets: Mapping[str, Any] = MappingProxyType({})
    """Options of the job with which a run must be begun to be written so: submitted in this format, it is."""
    without: str = ""
    """Why a run that was begun without ``sets`` cannot be written so, as "the places of its words were not kept"."""
    live: bool = False
    """The writer may be given parts in any order, while the run goes on, each item once. Writes a folder file by file,
    or a stream line by line. It takes ``pages_of``, a function that gives for the name of a document how many of its
    pages are read, or None where that is not known."""
    source: bool = False
    """The writer takes ``source``, the input's paths as it was submitted: it writes copies with what was found."""
    file: bool = False
    """The writer gets the path of a draft, with what stood in the output before, or empty where there was nothing; the
    draft then replaces the output."""
    refuses: Callable[[Path], str] | None = None
    """``refuses(path)`` tells why the writer of a ``file`` does not go on with the file that stands there, or ""."""
    merge: Callable[[Path, Path, BinaryIO, Callable[[str], bool]], None] | None = None
    """``merge(before, fresh, out, is_replaced)`` adds what ``write`` wrote to ``fresh`` to an earlier result: see
    ``aggregators.merging``. None: it cannot be added to; a folder, or with ``file`` a draft, always can."""
