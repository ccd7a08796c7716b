"""Join parts that map item names to what was made of each: the run's answer is one mapping with all of them."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import re
import secrets
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

import orjson

FACE_COLUMNS = ("item", "label", "confidence", "score", "x", "y", "width", "height")
MOST_PROBLEMS = 20
"""Problems that are listed at most where a folder of results is not whole."""
NO_PLACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENOTCONN})
"""Errors of the disk or drive, not of one file: to go on with the next one would lose that, too."""

Value = TypeVar("Value")


def join(parts: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    """One mapping with the entries of all parts, in the order they come. Holds all of them.

    The same part handed in twice changes nothing. Values are compared with ``==``, so they must equal themselves.

    Raises:
        ValueError: Two parts have another value under one name: an item was cut into slices, say.
    """
    joined: dict[str, Value] = {}
    for part in parts:
        for name in part.keys() & joined.keys():
            if part[name] != joined[name]:
                raise ValueError(f"two parts give another value for {name!r}; to join by name each item needs its own")
        joined.update(part)
    return joined


def check(part: Any, names: Collection[str] | None = None) -> None:
    """See that a part maps items of these ``names`` (None: of any) to something.

    Raises:
        ValueError: It does not.
    """
    if not isinstance(part, Mapping):
        raise ValueError(f"it is a {type(part).__name__} and maps no items")
    for name in part:
        if not isinstance(name, str) or (names is not None and name not in names):
            raise ValueError(f"it names {name!r}, which is none of its items")


def check_faces(part: Any, names: Collection[str] | None = None) -> None:
    """Like ``check``, for items that are mapped to lists of faces.

    Raises:
        ValueError: Another thing is among them.
    """
    _check_lists(part, names, {"label": str, "confidence": float, "score": float, "box": list})
    for name, faces in part.items():
        if any(len(face["box"]) != 4 or not all(isinstance(side, int) for side in face["box"]) for face in faces):
            raise ValueError(f"a face on {name!r} has a box that is not four numbers")
        if not all(isinstance(face.get(key, ""), str) for face in faces for key in ("descriptor", "like")):
            raise ValueError(f"a face on {name!r} has a descriptor that is no text")


def check_guesses(part: Any, names: Collection[str] | None = None) -> None:
    """Like ``check``, for items that are mapped to lists of labels.

    Raises:
        ValueError: Another thing is among them.
    """
    _check_lists(part, names, {"label": str, "confidence": float})


def _check_lists(part: Any, names: Collection[str] | None, wanted: Mapping[str, type]) -> None:
    check(part, names)
    for name, found in part.items():
        if not isinstance(found, list):
            raise ValueError(f"it has a {type(found).__name__} and no list for {name!r}")
        for one in found:
            if not isinstance(one, dict):
                raise ValueError(f"what it found in {name!r} is a {type(one).__name__}")
            for key, kind in wanted.items():
                value = one.get(key)
                if not isinstance(value, (int, float) if kind is float else kind):
                    raise ValueError(f"what it found in {name!r} has {value!r} as its {key}")


def write_json(parts: Iterable[Mapping[str, Any]], out: BinaryIO) -> None:
    """Write one JSON object ``{name: value}``, holding one part at a time."""
    between = b"{\n  "
    for part in parts:
        for name, value in part.items():
            out.write(between + orjson.dumps(name) + b": " + orjson.dumps(value))
            between = b",\n  "
    out.write(b"\n}\n" if between[:1] == b"," else b"{}\n")


def jsonl(key: str) -> Callable[[Iterable[Mapping[str, Any]], BinaryIO], None]:
    """A writer of one line ``{"item": name, key: value}`` an item, which holds one part at a time."""

    def write_jsonl(parts: Iterable[Mapping[str, Any]], out: BinaryIO) -> None:
        for part in parts:
            for name, value in part.items():
                out.write(orjson.dumps({"item": name, key: value}) + b"\n")

    return write_jsonl


write_faces_jsonl, write_guesses_jsonl = jsonl("faces"), jsonl("guesses")


def write_faces_csv(parts: Iterable[Mapping[str, list[dict[str, Any]]]], out: BinaryIO) -> None:
    """Write a table of faces: ``FACE_COLUMNS``, then a line a face, holding one part at a time.

    UTF-8, lines end with a line feed. A picture without a face has no line. Names and labels pass ``cell``.
    """
    out.write(line(FACE_COLUMNS))
    for part in parts:
        for name, faces in part.items():
            for f in faces:
                out.write(line([cell(name), cell(f["label"]), f["confidence"], f["score"], *f["box"]]))


def line(cells: Sequence[object]) -> bytes:
    """A row of a table in CSV, in UTF-8, which ends with a line feed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # with another end, it leaves a carriage return unquoted
    return text.getvalue().removesuffix("\r\n").encode() + b"\n"


def cell(text: str) -> str:
    """A text for a table, with a ``'`` in front where a spreadsheet would take it for a formula.

    The same where only such signs stand before that, so that two texts never become the same. Numbers need none.
    """
    return f"'{text}" if re.match(r"'*[=+\-@\t\r]", text) else text


def path_below(folder: Path, name: str) -> Path:
    """Where an item's file is to stand in an output folder.

    Raises:
        ValueError: That would be outside the folder.
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or "\0" in name:
        raise ValueError(f"{name!r} points outside the output folder")
    return folder / relative


def write_text_folder(parts: Iterable[Mapping[str, str]], folder: Path) -> None:
    """Write each text to ``folder/<name>.txt``, so that ``a/page.png`` becomes ``a/page.png.txt``.

    A file is there whole or not at all; one that is there already is replaced. See ``put``.

    Raises:
        ValueError: As ``write_files``.
    """
    write_files(folder, ((name, ".txt", text.encode()) for part in parts for name, text in part.items()))


def write_files(
    folder: Path,
    files: Iterable[tuple[str, str, bytes | Iterable[bytes]]],
    wrote: Callable[[str, Path], None] | None = None,
) -> None:
    """Write files below a folder, each whole or not at all; one that is there already is replaced. See ``put``.

    Args:
        folder: The output folder.
        files: Of each a name with ``/`` between folders, what is put behind that, and its bytes; or pieces of them,
            made one by one.
        wrote: Called with the name and path of each file that is in place.

    Raises:
        ValueError: Some could not be written (a name points outside the folder, or is too long for it);
            all others were.
        OSError: The disk is full, say: the others are not tried.
    """
    problems = []
    draft_name = f".cluster-draft-{secrets.token_hex(4)}.part"  # another one may be writing to the same folder
    for name, suffix, data in files:
        try:
            bare = path_below(folder, name)
            path = bare.with_name(f"{bare.name}{suffix}")
            put(folder, path, path.with_name(draft_name), data)
        except ValueError as error:
            problems.append(str(error))
        except OSError as error:
            if error.errno in NO_PLACE:
                raise
            problems.append(f"{name!r}: {error.strerror}")
        else:
            if wrote is not None:
                wrote(name, path)
    if problems:
        raise NotAllWritten(problems)


class NotAllWritten(ValueError):
    """A folder of results is not whole: what lacks could not be written, all else was.

    Args:
        problems: What lacks, and why, a clause each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        more = f"; … and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        super().__init__("; ".join(problems[:MOST_PROBLEMS]) + more)
        self.problems = tuple(problems)


def put(folder: Path, path: Path, draft: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a file below an output folder, whole or not at all: see ``drafted``.

    Args:
        folder: The output folder.
        path: The file, below ``folder``.
        draft: Beside ``path``.
        data: What to write; or pieces of it, made one by one.

    Raises:
        OSError: It cannot be written.
    """
    with drafted(folder, path, draft), draft.open("xb") as stream:
        stream.writelines([data] if isinstance(data, bytes) else data)


@contextlib.contextmanager
def drafted(folder: Path, path: Path, draft: Path) -> Iterator[None]:
    """Let the body of ``with`` write a draft, which then takes the place of a file below an output folder.

    Folders are made as needed, also the output folder. A link that stands in the output folder is never followed:
    in place of the file it is replaced, in place of a folder it is an error. Where the body raises, no draft stays.

    Args:
        folder: The output folder.
        path: The file, below ``folder``.
        draft: Beside ``path``. What stands there is removed.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder
    for part in path.parent.relative_to(folder).parts:  # one by one: `mkdir(parents=True)` recurses, and follows links
        place /= part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            place.mkdir(exist_ok=True)
            continue
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, f"{place.name} is a link, which is not followed", str(place))
    draft.unlink(missing_ok=True)
    try:
        yield
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
