"""The input of a run as it is given: paths, or items in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from cluster import errors
from splitters import Chunk
from splitters.items import Items

Paths = str | Path | Sequence[str | Path]
"""Files and folders."""
Source = Paths | Items
"""Files and folders, or items in memory: ``cluster.client.source`` makes such ``Items`` of what a program gives."""


@contextlib.contextmanager
def naming_input() -> Iterator[None]:
    """Turn what is raised of an input that cannot be read, or of options that do not fit it, into sentences.

    Raises:
        errors.UsageError: In place of an ``OSError`` or a ``ValueError``.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise errors.UsageError(f"no such file or folder: {error.filename}") from None
    except OSError as error:
        raise errors.UsageError(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise errors.UsageError(str(error)) from None


def sift(chunk: Chunk) -> tuple[Chunk, dict[str, str]]:
    """The items a task can work on, and the reasons of the others."""
    return [item for item in chunk if not item.problem], {i.name: i.problem for i in chunk if i.problem}


def for_splitter(source: Source) -> list[Path] | Items:
    """The source as a splitter takes it.

    Raises:
        errors.UsageError: As ``paths``.
    """
    return source if isinstance(source, Items) else paths(source)


def paths(source: Paths) -> list[Path]:
    """The source as a list of paths.

    Raises:
        errors.UsageError: One is empty; as a path it would mean the current folder.
    """
    given = [source] if isinstance(source, str | Path) else list(source)
    if "" in given:
        raise errors.UsageError("a path is empty")
    return [Path(path) for path in given]
