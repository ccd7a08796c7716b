"""The content of a new version of a bundle, checked file by file before anything is stored."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import orjson

from cluster import errors
from cluster.bundles import manifest, paths, pickles, requirements
from cluster.bundles.manifest import MAX_FILE_BYTES, PIECE_BYTES, File, Manifest
from cluster.bundles.paths import DESCRIPTION

DESCRIBED = ("job", "requirements", "parameters")


@dataclass(frozen=True)
class Content:
    """Files and what is said of them. It is not yet checked; ``draft`` does that."""

    job: str
    files: Mapping[str, Path | bytes]
    """Path below the bundle's folder, with ``/`` -> the file on this machine, or its bytes."""
    requirements: Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    passed_over: Sequence[str] = ()
    """Files of the folder it was read from that are left out, as their names start with a dot."""

    @property
    def size_bytes(self) -> int:
        """The size of all files together in bytes, as they are now."""
        return sum(len(data) if isinstance(data, bytes) else data.stat().st_size for data in self.files.values())


def read_folder(folder: Path, job: str | None = None, required: Sequence[str] = ()) -> Content:
    """The files below ``folder``, and what its ``bundle.json`` says of them, if it has one.

    Args:
        folder: What is below it in folders is named with ``/``.
        job: Wins over that in ``bundle.json``.
        required: Lines of requirements. If any are given, they replace those in ``bundle.json``.

    Raises:
        errors.BadBundle: There is nothing in it, no job is named, or something in it cannot be part of a bundle.
        errors.UsageError: It is no folder, or cannot be read.
    """
    if not folder.is_dir():
        raise errors.UsageError(f"{folder} is no folder")
    try:
        said = _description(folder / DESCRIPTION)
        files: dict[str, Path | bytes] = {}
        passed_over = []
        for name, path in _walk(folder, folder.resolve()):
            if any(part.startswith(".") for part in name.split("/")):
                passed_over.append(name)
            elif name != DESCRIPTION:
                files[name] = path
    except OSError as error:
        raise errors.UsageError(f"{error.filename}: {error.strerror}") from None
    if not files:
        raise errors.BadBundle(f"{folder} holds no file that could be part of a bundle")
    job = job or said.get("job")
    if not job or not isinstance(job, str):
        raise errors.BadBundle(f'for which job is it? Give --job, or write {{"job": "…"}} to {folder / DESCRIPTION}')
    listed = required or said.get("requirements", [])
    if not isinstance(listed, list | tuple) or not all(isinstance(line, str) for line in listed):
        raise errors.BadBundle(f"{folder / DESCRIPTION}: `requirements` must be a list of lines")
    found = manifest.parameters(said.get("parameters", {}))
    return Content(job, files, tuple(listed), found, tuple(sorted(passed_over)))


def draft(given: Content, name: str, by: str, created: datetime, scope: str = "") -> Manifest:
    """The manifest of a content, as version 1 until a store gives it a number. Reads every file once.

    Raises:
        errors.BadBundle: A file, requirement or parameter is none that a bundle may have; the message says why.
        errors.UsageError: The name is none for a bundle, or a file cannot be read.
    """
    manifest.check_name(name)
    if problem := paths.clash(given.files):
        raise errors.BadBundle(problem)
    files = tuple(_file(path, given.files[path]) for path in sorted(given.files))
    required = tuple(sorted({requirements.plain(line) for line in given.requirements}))
    parameters = manifest.parameters(dict(given.parameters))
    try:
        return Manifest(
            name=name,
            version=1,
            job=given.job,
            files=files,
            requirements=required,
            parameters=parameters,
            created=created,
            by="".join(char for char in by if char.isprintable())[:200],
            digest=manifest.digest(given.job, files, required, parameters),
            scope=scope,
        )
    except ValueError as error:
        raise errors.BadBundle(f"{name}: {manifest.why(error)}") from None


def pieces(given: Content, files: Iterable[File]) -> Iterator[tuple[File, bytes]]:
    """The bytes of the files, piece by piece.

    Raises:
        errors.BadBundle: A file is another one than when it was described.
    """
    for file in files:
        with _opened(file.path, given.files[file.path]) as stream:
            for ref in file.refs():
                data = stream.read(ref.size_bytes)
                if hashlib.sha256(data).hexdigest() != ref.sha256:
                    raise errors.BadBundle(f"{file.path} was changed while it was read; push again")
                yield file, data


def _file(path: str, data: Path | bytes) -> File:
    if problem := paths.problem(path):
        raise errors.BadBundle(f"the file {path!r} {problem}")
    with _opened(path, data) as stream:
        size_bytes = stream.seek(0, os.SEEK_END)
        if size_bytes > MAX_FILE_BYTES:
            raise errors.BadBundle(f"{path} has {size_bytes:,} bytes; the limit is {MAX_FILE_BYTES:,}")
        stream.seek(0)
        if problem := pickles.problem(path, stream, size_bytes):
            raise errors.BadBundle(f"{path} {problem}")
        stream.seek(0)
        whole, found, count = hashlib.sha256(), [], 0
        while piece := stream.read(PIECE_BYTES):
            whole.update(piece)
            found.append(hashlib.sha256(piece).hexdigest())
            count += len(piece)
    return File(path=path, sha256=whole.hexdigest(), size_bytes=count, pieces=tuple(found))


def _opened(path: str, data: Path | bytes) -> IO[bytes]:
    if isinstance(data, bytes):
        return io.BytesIO(data)
    try:
        return data.open("rb")
    except OSError as error:
        raise errors.UsageError(f"{path}: {error.strerror}") from None


def _description(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = orjson.loads(path.read_bytes())
    except ValueError as error:
        raise errors.BadBundle(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise errors.BadBundle(f"{path} must hold an object with {', '.join(DESCRIBED)}")
    unknown = sorted(set(found) - set(DESCRIBED))
    if unknown:
        raise errors.BadBundle(f"{path} has the unknown key {unknown[0]!r} (it may have: {', '.join(DESCRIBED)})")
    return found


def _walk(folder: Path, root: Path, below: str = "") -> Iterator[tuple[str, Path]]:
    """Name and place of each file; a folder whose name starts with a dot counts as one, and isn't looked into."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name, path = below + entry.name, Path(entry.path)
        if entry.name.startswith("."):
            yield name, path
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path, root, f"{name}/")
        else:
            target = path.resolve()
            if entry.is_symlink() and not target.is_relative_to(root):
                raise errors.BadBundle(f"{path} is a link out of the folder; copy what it points to")
            if not stat.S_ISREG(target.stat().st_mode):
                raise errors.BadBundle(f"{path} is no file; only files can be part of a bundle")
            yield name, path
