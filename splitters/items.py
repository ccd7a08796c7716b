"""Items that a program has in memory, in place of files and folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn

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
