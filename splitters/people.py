"""Cut folders of people into chunks of a few pictures each: one folder a person, named after her or him."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from splitters import Chunk, Item, NothingToSplit, PassedOver, files, pictures
from splitters.items import Items
from splitters.spool import Sent

NO_PERSON = "lies in nobody's folder: put the pictures of each person into a folder with her or his name"


class Portrait(NamedTuple):
    """A picture that was found, and what it is called."""

    name: str
    found: files.Found
    problem: str = ""


def split(
    source: Sequence[Path] | Items, *, chunk_size: int = 4, passed_over: PassedOver | None = None
) -> Iterator[Chunk]:
    """Yield chunks of pictures named ``person/…``, as ``pictures.split`` does.

    A folder of ``source`` holds a folder for each person, with pictures in it or deeper down. The first folder in
    an item's name is the person, however many folders are given: ``anna/1.jpg``, or ``anna/2024~/1.jpg``
    where another given folder than ``2024`` also has ``anna/1.jpg``.
    A picture outside any person's folder is yielded with its problem.

    Raises:
        NothingToSplit: No picture under ``source``, or none in a person's folder.
    """
    passed_over = passed_over or PassedOver()
    is_read_once = isinstance(source, Items) and not isinstance(source, Sent)
    if not is_read_once and next(walk(source), None) and all(portrait.problem for portrait in walk(source)):
        raise NothingToSplit(f"each picture {NO_PERSON}, and give the folder above")
    return pictures.deal(walk(source, passed_over), _read, source, chunk_size, passed_over)


def count(source: Sequence[Path] | Items) -> int:
    """How many pictures ``split`` will meet, without reading one."""
    return pictures.count(source)


def walk(source: Sequence[Path] | Items, passed_over: PassedOver | None = None) -> Iterator[Portrait]:
    """Every picture under ``source``, in the order of ``pictures.walk``."""
    roots = () if isinstance(source, Items) else source
    for found in pictures.walk(source, passed_over):
        if found.depth < 2:
            yield Portrait(found.name, found, NO_PERSON)
            continue
        parts = found.name.split("/")
        if len(parts) > found.depth:  # its root's name was put before it: the person stays first
            origin, person, *rest = parts
            mark, folder = f"{origin}~", found.path.parts[-found.depth]
            while any(os.path.lexists(root / folder / files.from_text(mark)) for root in roots):
                mark += "~"
            parts = [person, mark, *rest]
        yield Portrait("/".join(parts), found)


def _read(portrait: Portrait) -> Item:
    if portrait.problem:
        return Item(portrait.name, b"", portrait.problem)
    return files.read(portrait.found)._replace(name=portrait.name)
