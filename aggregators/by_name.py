"""Join parts that map item names to what was made of each: the run's answer is one mapping with all of them."""

from __future__ import annotations

import contextlib
import csv
import io
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

import orjson

FACE_COLUMNS = ("item", "label", "confidence", "score", "x", "y", "width", "height")
MOST_PROBLEMS = 20
"""So many are told of those for which a folder of results is not whole."""

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


def write_faces_csv(parts: Iterable[Mapping[str, list[dict[str, Any]]]], out: BinaryIO) -> None:
    """Write a table of faces: ``FACE_COLUMNS``, then a line a face, holding one part at a time.

    UTF-8, lines end with a line feed. A picture without a face has no line.
    """
    # A buffer of its own for each part, as a TextIOWrapper around `out` would close it.
    out.write(",".join(FACE_COLUMNS).encode() + b"\n")
    for part in parts:
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        for name, faces in part.items():
            rows.writerows([name, f["label"], f["confidence"], f["score"], *f["box"]] for f in faces)
        out.write(text.getvalue().encode())


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

    A file is there whole or not at all; one that is there already is replaced.

    Raises:
        ValueError: Some could not be written (a name points outside the folder, or is too long for it);
            all others were.
    """
    problems = []
    draft_name = f".cluster-draft-{secrets.token_hex(4)}.part"  # another one may be writing to the same folder
    for part in parts:
        for name, text in part.items():
            try:
                bare = path_below(folder, name)
            except ValueError as error:
                problems.append(str(error))
                continue
            path = bare.with_name(f"{bare.name}.txt")
            draft = path.with_name(draft_name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                draft.write_text(text, encoding="utf-8")
                draft.replace(path)
            except OSError as error:
                with contextlib.suppress(OSError):
                    draft.unlink()
                problems.append(f"{name!r}: {error.strerror}")
    if problems:
        more = f"; … and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise ValueError("; ".join(problems[:MOST_PROBLEMS]) + more)
