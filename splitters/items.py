"""Items that a program has in memory, in place of files and folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from splitters import Item


class NotFiles(TypeError):
    """The splitter reads files and folders alone, and was given items."""


class Items:
    """An input of items that need not be read from files. A splitter that walks by ``files.walk`` takes it as it is.

    Args:
        read: Gives the items in their order; called again where the input is to be read again.
        number: How many there are; None where that is not known before they are read.
    """

    def __init__(self, read: Callable[[], Iterator[Item]], number: int | None = None) -> None:
        self.read = read
        self.number = number

    def __iter__(self) -> NoReturn:
        """Splitters take their input for paths."""
        raise NotFiles

    def __str__(self) -> str:
        return "the items given"


class Choice(NamedTuple):
    """A file that a run is to read, of an input with others."""

    name: str
    """As a walk over the whole input names it: see ``splitters.pages.walk``."""

    path: Path

    pages: tuple[int, ...] | None = None
    """The numbers of the pages that are wanted, rising; None for all."""

    depth: int = 0
    """How many parts its path has below the root that it was found in; 0 for a root."""


class Chosen(Items):
    """An input of files that were chosen beforehand, which go by their own names: what is new, say.

    Args:
        files: In the order of the input; gone over again where the input is to be read again.
        number: How many items they have, pages of documents counted one by one; None where that is not known.
    """

    def __init__(self, files: Iterable[Choice], number: int | None = None) -> None:
        from splitters.files import Found, read

        super().__init__(lambda: (read(Found(one.name, one.path, one.depth)) for one in files), number)
        self.files = files

    def __str__(self) -> str:
        return "the files chosen"
