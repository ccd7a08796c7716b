"""Walk files and folders in a stable order and name what is found. The other splitters build on it."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from splitters import MAX_ITEM_BYTES, Chunk, Item, NothingToSplit, PassedOver
from splitters.items import Chosen, Items
from splitters.spool import Sent

HEAD_BYTES = 1024
"""Looked at of a file whose name does not tell its kind."""

MOST_PATH_BYTES = 4000
"""From there on a path is walked in steps of ``STEP_PARTS`` names: Linux takes 4,096 bytes at a time."""
STEP_PARTS = 12

NO_FILE = "not a file, or a folder that cannot be listed"
"""The reason under which anything is reported that has no bytes to read."""


class Found(NamedTuple):
    """A file of the input and the name under which it is reported."""

    name: str
    path: Path
    depth: int = 0
    """How many parts its path has below the root that it was found in; 0 for a root."""
    item: Item | None = None
    """The item itself where its bytes were given; ``path`` is its name then, and nothing lies there."""
    pages: tuple[int, ...] | None = None
    """The numbers of the pages that are wanted of a document; None for all."""


class Seen(NamedTuple):
    """An item that a run would read."""

    name: str
    path: Path
    """The file that it lies in."""
    problem: str = ""
    """Why it cannot be read, as far as shows without reading it."""


def split(
    source: Sequence[Path] | Items, *, chunk_size: int = 1, passed_over: PassedOver | None = None
) -> Iterator[Chunk]:
    """Yield chunks of ``chunk_size`` whole files of any kind, in the order of ``walk``.

    Raises:
        NothingToSplit: No file under ``source``.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; it must be 1 or more files")
    walking = walk(source, passed_over=passed_over)
    chunk = [read(found) for found in islice(walking, chunk_size)]
    if not chunk:
        raise NothingToSplit(f"no files in {places(source)}")
    while chunk:
        yield chunk
        chunk = [read(found) for found in islice(walking, chunk_size)]


def places(source: Sequence[Path] | Items) -> str:
    """The source in words, for messages."""
    return str(source) if isinstance(source, Items) else ", ".join(map(str, source))


def walk(
    source: Sequence[Path] | Items,
    suffixes: Collection[str] = (),
    is_kind: Callable[[bytes], bool] | None = None,
    passed_over: PassedOver | None = None,
) -> Iterator[Found]:
    """Yield every file under ``source``, folders recursively, sorted by name within a folder.

    Args:
        source: Files and folders. A root that lies inside another one is not walked twice. Or items, all of which
            are taken, as files given by name are; those named ``a/b`` count as two parts deep. Or an upload: its files
            are taken as those of a folder, in the order of their arrival, and waited for until it is closed.
        suffixes: Lower-case, with the dot; empty for all. A file given by name is
            taken whatever its suffix.
        is_kind: Tells by the first ``HEAD_BYTES`` of a file whether it is taken, too. Only files without a suffix
            are looked into: ``scan``, ``page.001``, ``Letter of 3. March``.
        passed_over: Counts the files that are left out.

    Names that start with a dot are passed over, links to folders are not followed.
    A file in a folder is named by its path relative to the given folder, a file given by itself
    by its name. Where two roots hold the same name, each gets its root's folder in front.
    Chosen files are taken under the names that they bring.

    Raises:
        OSError: A given root does not exist, or cannot be reached.
    """
    if isinstance(source, Chosen):
        yield from (Found(one.name, one.path, one.depth) for one in source.files)
        return
    if isinstance(source, Sent):
        yield from _sent(source, suffixes, is_kind, passed_over or PassedOver())
        return
    if isinstance(source, Items):
        for item in source.read():
            yield Found(item.name, Path(item.name), len(item.name.split("/")), item)
        return
    roots = _distinct(source)
    folders = [root for root in roots if root.is_dir()]
    given_files = Counter(root.name for root in roots if not root.is_dir())
    shared = _shared_tops(folders, given_files)
    for root, label in zip(roots, _labels(roots, folders, given_files), strict=True):
        if root.is_dir():
            for path in _files_below(root, suffixes, is_kind, passed_over or PassedOver()):
                relative = path.relative_to(root)
                if path == root:  # it cannot be listed
                    yield Found(in_text(label), path)
                    continue
                taken = relative.parts[0] in shared and (
                    given_files[relative.as_posix()] > 0
                    or any(_is_there(other / relative) for other in folders if other != root)
                )
                name = f"{label}/{relative.as_posix()}" if taken else relative.as_posix()
                yield Found(in_text(name), path, len(relative.parts))
        else:
            yield Found(in_text(f"{label}/{root.name}" if root.name in shared else root.name), root)


def look(found: Found) -> Seen:
    """A file, which is one item, without reading it."""
    try:
        with reached(found.path) as path:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return Seen(found.name, found.path, NO_FILE)
            if status.st_size > MAX_ITEM_BYTES:
                return Seen(found.name, found.path, too_large(status.st_size))
            with path.open("rb"):
                return Seen(found.name, found.path)
    except OSError as error:
        return Seen(found.name, found.path, cannot_read(error))


def read(found: Found) -> Item:
    """The file as one item; with its ``problem`` when it is too large, no file, or cannot be read."""
    if found.item is not None:
        return found.item
    try:
        with reached(found.path) as path:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return Item(found.name, b"", NO_FILE)
            if status.st_size > MAX_ITEM_BYTES:
                return Item(found.name, b"", too_large(status.st_size))
            return Item(found.name, path.read_bytes())
    except OSError as error:
        return Item(found.name, b"", cannot_read(error))


@contextmanager
def reached(path: Path) -> Iterator[Path]:
    """The path, or where it is too long for the system a shorter way to the same place, good in the body of ``with``.

    Only Linux knows such a way: elsewhere the place cannot be reached.

    Raises:
        OSError: A folder on the way cannot be entered.
    """
    rest = list(path.parts)
    if len(os.fsencode(path)) < MOST_PATH_BYTES or sys.platform != "linux":
        yield path
        return
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    handle = os.open(path.anchor or ".", flags)
    try:
        while len(rest) > STEP_PARTS:
            step, rest = Path(*rest[:STEP_PARTS]), rest[STEP_PARTS:]
            before, handle = handle, os.open(step, flags, dir_fd=handle)
            os.close(before)
        yield Path(f"/proc/self/fd/{handle}", *rest)
    finally:
        os.close(handle)


def cannot_read(error: OSError) -> str:
    """The reason under which an unreadable file is reported."""
    return f"cannot be read: {error.strerror or error}"


def too_large(size_bytes: int) -> str:
    """The reason under which a file over the limit is reported."""
    return f"{size_bytes:,} bytes is over the limit of {MAX_ITEM_BYTES:,}"


def in_text(name: str) -> str:
    r"""A file's name as text: bytes that are no UTF-8 become ``\xff``, as items' names travel as text.

    Two names never become the same text: a backslash before what reads like such a byte becomes ``\x5c``.
    """
    return re.sub(rb"\\(?=x[0-9a-f]{2})", rb"\\x5c", os.fsencode(name)).decode("utf-8", "backslashreplace")


def from_text(name: str) -> str:
    """The file's name of which ``in_text`` made this."""
    found = re.sub(rb"\\x([0-9a-f]{2})", lambda byte: bytes.fromhex(byte[1].decode()), name.encode())
    return os.fsdecode(found)


def _distinct(source: Sequence[Path]) -> list[Path]:
    """The roots without those that another root holds already; links resolved for the comparison."""
    kept: dict[Path, Path] = {}
    for root in source:
        try:
            kept.setdefault(root.resolve(strict=True), root)
        except RuntimeError:  # a link to itself, until Python 3.13
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(root)) from None
    return [root for real, root in kept.items() if not any(parent in kept for parent in real.parents)]


def _shared_tops(folders: Sequence[Path], given_files: Mapping[str, int]) -> set[str]:
    """Names that stand at the top of more than one root: only below these can two files have one name."""
    seen = set(given_files)
    shared = {name for name, number in given_files.items() if number > 1}
    for folder in folders if len(folders) + len(given_files) > 1 else ():
        try:
            names = {entry.name for entry in folder.iterdir()}
        except OSError:
            continue  # read() will report it
        shared |= seen & names
        seen |= names
    return shared


def _labels(roots: Sequence[Path], folders: Sequence[Path], given_files: Collection[str]) -> list[str]:
    """Return the label that goes before a shared name: the folder's name, ``scans~2`` where that is taken.

    A label is the top-level name of nothing in any root, so no labelled name can be another's plain one.
    """
    labels: dict[Path, str] = {}
    for root in roots:
        place = root if root.is_dir() else root.parent
        name = place.resolve().name or "root"
        for number in count(1):
            label = name if number == 1 else f"{name}~{number}"
            free = label not in given_files and not any(os.path.lexists(folder / label) for folder in folders)
            if place in labels or (free and label not in labels.values()):
                labels.setdefault(place, label)
                break
    return [labels[root if root.is_dir() else root.parent] for root in roots]


def _files_below(
    folder: Path, suffixes: Collection[str], is_kind: Callable[[bytes], bool] | None, passed_over: PassedOver
) -> Iterator[Path]:
    """The files; also folders that cannot be listed: ``read`` reports these, so that none is silently lost."""
    # No recursion: folders may be nested deeper than Python's calls.
    open_folders: list[tuple[Path, Iterator[tuple[str, bool]]]] = [(folder.parent, iter([(folder.name, True)]))]
    while open_folders:
        place, entries = open_folders[-1]
        for name, is_folder in entries:
            if not is_folder:
                suffix = os.path.splitext(name)[1]  # noqa: PTH122 - a Path for each of very many takes long
                if not suffixes or suffix.lower() in suffixes or _is_by_content(place / name, suffix, is_kind):
                    yield place / name
                else:
                    passed_over.add(name)
                continue
            path = place / name if len(open_folders) > 1 else folder
            try:
                open_folders.append((path, iter(_entries(path))))
            except OSError:
                yield path
                continue
            break
        else:
            open_folders.pop()


def _sent(
    source: Sent, suffixes: Collection[str], is_kind: Callable[[bytes], bool] | None, passed_over: PassedOver
) -> Iterator[Found]:
    for entry in source.entries():
        path, parts = source.path(entry), entry.name.split("/")
        if any(part.startswith(".") for part in parts):
            continue
        suffix = os.path.splitext(entry.name)[1]  # noqa: PTH122 - a Path for each of very many takes long
        if not suffixes or suffix.lower() in suffixes or _is_by_content(path, suffix, is_kind):
            yield Found(in_text(entry.name), path, len(parts), pages=entry.pages)
        else:
            passed_over.add(parts[-1])


def _is_there(path: Path) -> bool:
    try:
        with reached(path) as near:
            return os.path.lexists(near)
    except OSError:
        return False


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """The names in a folder and whether each is a folder, sorted.

    Raises:
        OSError: It cannot be listed.
    """
    with reached(folder) as near, os.scandir(near) as entries:
        # Only names and kinds are held, never a whole tree: one folder at a time.
        return sorted(
            (entry.name, entry.is_dir(follow_symlinks=False))
            for entry in entries
            # Asking a link whether it is a folder costs a look at the disk; the others know by themselves.
            if entry.name[0] != "." and not (entry.is_symlink() and os.path.isdir(near / entry.name))  # noqa: PTH112 - it raises nothing
        )


def _is_by_content(path: Path, suffix: str, is_kind: Callable[[bytes], bool] | None) -> bool:
    return is_kind is not None and not _SUFFIX.fullmatch(suffix) and is_kind(head(path))


def is_without_suffix(name: str) -> bool:
    """Whether the end of a file's name tells nothing of its kind."""
    return not _SUFFIX.fullmatch(os.path.splitext(name)[1])  # noqa: PTH122 - a Path for each of very many takes long


_SUFFIX = re.compile(r"\.[a-z]\w{0,9}", re.ASCII | re.IGNORECASE)
"""A suffix that stands for a kind of file, unlike the ends of ``page.001`` and ``Letter of 3. March``."""


def head(path: Path, size: int = HEAD_BYTES) -> bytes:
    """The first ``size`` bytes; nothing of what is no file or cannot be read."""
    try:
        with reached(path) as near:
            handle = os.open(near, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer would block
    except OSError:
        return b""
    try:
        return os.read(handle, size) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(handle)
