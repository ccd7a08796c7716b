"""A bundle as a folder: its files and ``bundle.json``, written from pieces, and looked at before use."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cluster import errors
from cluster.bundles import Read, pickles
from cluster.bundles.manifest import PIECE_BYTES, File, Manifest
from cluster.bundles.paths import DESCRIPTION

Pause = Callable[[float], object]
"""Called after each piece with the seconds that it took."""


def write(
    folder: Path,
    manifest: Manifest,
    read: Read,
    pause: Pause = lambda seconds: None,
    near: Callable[[File], Path | None] = lambda file: None,
) -> None:
    """Write all files into a folder that is empty. After an error the files that were written stay.

    Args:
        folder: Where to.
        manifest: What.
        read: Gives the pieces.
        pause: See ``Pause``.
        near: Where on this machine a file with the same content may be; if it has another one, it is read in pieces.

    Raises:
        errors.BadBundle: A file is no data, see ``pickles``; the machine that pushed it did not check.
        errors.BlobError: A piece cannot be had.
        OSError: The folder cannot be written.
    """
    for file in manifest.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        source = near(file)
        if source and _copied(source, path, file):
            continue
        whole = hashlib.sha256()
        with path.open("wb") as out:
            for ref in file.refs():
                began = time.monotonic()
                data = read(manifest, ref)
                whole.update(data)
                out.write(data)
                pause(time.monotonic() - began)
        if whole.hexdigest() != file.sha256:
            raise errors.BlobCorrupt(f"{manifest.ref}: the pieces of {file.path} are not what its sha256 says")
    (folder / DESCRIPTION).write_bytes(manifest.description)
    if found := _no_data(folder, manifest):
        raise errors.BadBundle(f"{manifest.ref}: {found}")


def check_new(folder: Path) -> None:
    """See that ``write_new`` can write there.

    Raises:
        errors.UsageError: It is no folder, not empty, or below none.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise errors.UsageError(f"{folder} is there and not an empty folder; name another one")
    if folder.exists() and not os.access(folder, os.W_OK):
        raise errors.UsageError(f"{folder} is write-protected")
    if not folder.absolute().parent.is_dir():
        raise errors.UsageError(f"there is no folder {folder.absolute().parent}")


def write_new(folder: Path, manifest: Manifest, read: Read) -> None:
    """Like ``write``, into a folder that is new or empty and is then there whole or not at all."""
    check_new(folder)
    draft = folder.absolute().parent / f".cluster-{uuid.uuid4().hex}.part"
    draft.mkdir()
    try:
        write(draft, manifest, read)
        with suppress(OSError):  # there is none yet, or the file system knows no rights
            draft.chmod(folder.stat().st_mode & 0o7777)
        draft.rename(folder.resolve())  # an empty folder is replaced
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def problem(folder: Path, manifest: Manifest) -> str:
    """Return how a folder differs from its manifest, or "". Reads all bytes.

    A file too many counts, too: what reads bundles may look for files by their names.
    """
    try:
        wanted = {file.path: file for file in manifest.files}
        found = _entries(folder)
        if extra := sorted(found.keys() - wanted.keys() - {DESCRIPTION}):
            return f"{extra[0]} is none of its files"
        if (folder / DESCRIPTION).read_bytes() != manifest.description:
            return f"{DESCRIPTION} was changed"
        for path, file in wanted.items():
            if path not in found:
                return f"{path} is missing"
            if not stat.S_ISREG(found[path].st_mode) or found[path].st_size != file.size_bytes:
                return f"{path} was changed"
            if _sha256(folder / path) != file.sha256:
                return f"{path} was changed"
        return _no_data(folder, manifest)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def _no_data(folder: Path, manifest: Manifest) -> str:
    """Which file would run when it is read, or "": looked at on each machine, as anybody may have pushed it."""
    for file in manifest.files:
        with (folder / file.path).open("rb") as stream:
            if found := pickles.problem(file.path, stream, file.size_bytes):
                return f"{file.path} {found}"
    return ""


def signature(folder: Path) -> frozenset[tuple[str, int, int, int]]:
    """Changes when a file is written, replaced, added or removed; cheap to ask.

    Raises:
        OSError: There is no such folder.
    """
    return frozenset(
        (path, found.st_ino, found.st_size, found.st_mtime_ns) for path, found in _entries(folder).items()
    )  # fmt: skip


def piece(folder: Path, manifest: Manifest, sha256: str) -> bytes | None:
    """One piece out of a folder, as it is there; None if no file has it."""
    for file in manifest.files:
        if sha256 in file.pieces:
            return _read_at(folder / file.path, file, file.pieces.index(sha256))
    return None


def size_bytes(folder: Path) -> int:
    """Return the size of all files below a folder, in bytes; 0 where it cannot be read."""
    try:
        return sum(found.st_size for found in _entries(folder).values())
    except OSError:
        return 0


def _copied(source: Path, path: Path, file: File) -> bool:
    """Whether ``path`` is now a copy of ``source``, and what the manifest says."""
    try:
        shutil.copyfile(source, path)
        return _sha256(path) == file.sha256
    except OSError:
        return False


def _read_at(path: Path, file: File, number: int) -> bytes | None:
    try:
        with path.open("rb") as stream:
            stream.seek(number * PIECE_BYTES)
            return stream.read(min(PIECE_BYTES, file.size_bytes - number * PIECE_BYTES))
    except OSError:
        return None


def _entries(folder: Path) -> dict[str, os.stat_result]:
    """All that is below a folder but folders; links are not followed."""
    found, waiting = {}, [("", folder)]
    while waiting:
        below, place = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{below}{entry.name}/", Path(entry.path)))
                else:
                    found[below + entry.name] = entry.stat(follow_symlinks=False)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
