"""Join parts that map item names to texts: the run's answer is one mapping with all of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import orjson

DRAFT_NAME = ".cluster-draft.part"


def join(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    """One mapping with the entries of all parts, in the order they come. Holds all of them.

    Names are unique in a run; the same part handed in twice changes nothing.
    """
    joined: dict[str, str] = {}
    for part in parts:
        joined.update(part)
    return joined


def write_json(parts: Iterable[dict[str, str]], out: BinaryIO) -> None:
    """Write one JSON object ``{name: text}``, holding one part at a time."""
    between = b"{\n  "
    for part in parts:
        for name, text in part.items():
            out.write(between + orjson.dumps(name) + b": " + orjson.dumps(text))
            between = b",\n  "
    out.write(b"\n}\n" if between[:1] == b"," else b"{}\n")


def write_jsonl(parts: Iterable[dict[str, str]], out: BinaryIO) -> None:
    """Write one line ``{"item": name, "text": text}`` an item, holding one part at a time."""
    for part in parts:
        for name, text in part.items():
            out.write(orjson.dumps({"item": name, "text": text}) + b"\n")


def write_text_folder(parts: Iterable[dict[str, str]], folder: Path) -> None:
    """Write each text to ``folder/<name>.txt``, so that ``a/page.png`` becomes ``a/page.png.txt``.

    A file is there whole or not at all; one that is there already is replaced.

    Raises:
        ValueError: Some could not be written (a name points outside the folder, or is too long for it);
            all others were.
    """
    problems = []
    for part in parts:
        for name, text in part.items():
            relative = PurePosixPath(name)
            if relative.is_absolute() or ".." in relative.parts:
                problems.append(f"{name!r} points outside the output folder")
                continue
            path = folder / f"{relative}.txt"
            draft = path.with_name(DRAFT_NAME)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                draft.write_text(text, encoding="utf-8")
                draft.replace(path)
            except OSError as error:
                draft.unlink(missing_ok=True)
                problems.append(f"{name!r}: {error.strerror}")
    if problems:
        raise ValueError("; ".join(problems))
