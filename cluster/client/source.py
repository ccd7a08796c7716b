"""The input of a run as a program has it: paths, or items in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from cluster import errors, names
from cluster.inputs import Source
from splitters import MAX_ITEM_BYTES, Item, files
from splitters.items import Items
from splitters.spool import Sent

Given = (
    str | Path | Iterable[str | Path] | Iterable[bytes] | Iterable[tuple[str, bytes | str]] | Mapping[str, bytes | str]
    | Items
)  # fmt: skip
"""The input that ``Client.submit`` takes:

- a path, or several: files and folders. A folder is walked, and its items are named by their paths in it.
- items in memory: a mapping of names to bytes, or an iterable of pairs (name, bytes), or of bytes alone. Bytes without
  a name are named by their position, ``000000`` first. Text is taken as UTF-8. A name may have ``/`` in it, and none
  comes twice.

Items keep their order. Each has up to ``splitters.MAX_ITEM_BYTES`` bytes; a larger one is missing from the result and
named as such. An iterator is read once, while the run goes on, and as fast as the nodes take what it gives.
"""


def typed(inputs: Sequence[str]) -> Given:
    """The input as a command names it: files and folders; or one upload, as ``names.upload`` writes it.

    Raises:
        errors.UsageError: It cannot be used.
    """
    folders = [folder for folder in map(names.parse_upload, inputs) if folder is not None]
    if not folders:
        return inputs
    if len(inputs) > 1:
        raise errors.UsageError("an upload is an input by itself: name nothing beside it")
    try:
        return Sent(Path(folders[0]))
    except FileNotFoundError:
        raise errors.UsageError(f"there is no upload in {folders[0]}, or it was dropped") from None
    except (OSError, ValueError) as error:
        raise errors.UsageError(f"the upload in {folders[0]} cannot be read: {error}") from None


def read(given: Given) -> Source:
    """The input as jobs take it. Of an iterator the first item is read now, as it tells paths from items.

    Raises:
        errors.UsageError: It is neither paths nor items.
    """
    if isinstance(given, str | Path | Items):
        return given
    if isinstance(given, bytes):
        raise errors.UsageError("the input is one bytes object: give a list of them, or a mapping of names to bytes")
    if isinstance(given, Mapping):
        return Items(lambda: _items(given.items()), len(given))
    number = len(given) if isinstance(given, Sequence) else None
    rest = iter(given)
    first = next(rest, None)
    if first is None:
        raise errors.NothingToDo("the input is empty")
    if isinstance(first, str | Path):
        return [_path(one) for one in chain([first], rest)]
    if number is not None:
        return Items(lambda: _items(given), number)
    return Items(_Once(chain([first], rest)))


def _path(one: object) -> str | Path:
    if not isinstance(one, str | Path):
        raise errors.UsageError(f"the input mixes paths and {type(one).__name__}: give all as paths, or all as bytes")
    return one


class _Once:
    """Items of an iterator, which cannot be read again."""

    def __init__(self, given: Iterable[object]) -> None:
        self._given: Iterable[object] | None = given

    def __call__(self) -> Iterator[Item]:
        given, self._given = self._given, None
        if given is None:
            raise errors.InputChanged(
                "the input is an iterator, which is read once, and Redis has lost a part of it: submit it again,"
                " or give a list or files, which can be read again"
            )
        return _items(given)


def _items(given: Iterable[object]) -> Iterator[Item]:
    known: set[str] = set()
    for number, one in enumerate(given):
        match one:
            case bytes() | bytearray() | memoryview():
                name, data = f"{number:06}", bytes(one)
            case (str(name), bytes() | bytearray() | memoryview() as content):
                data = bytes(content)
            case (str(name), str(text)):
                data = text.encode()
            case _:
                raise errors.UsageError(
                    f"item {number} of the input is {type(one).__name__}: it must be bytes, or a pair of name and bytes"
                )
        if not name:
            raise errors.UsageError(f"item {number} of the input has an empty name")
        if name in known:
            raise errors.UsageError(f"two items of the input are named {name!r}")
        known.add(name)
        yield Item(name, data) if len(data) <= MAX_ITEM_BYTES else Item(name, b"", files.too_large(len(data)))
