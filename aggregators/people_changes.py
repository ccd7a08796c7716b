"""What people change about the people a bundle knows, beside giving pictures: whom to forget, and what was wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aggregators import rejections
from aggregators.rejections import Rejection

MOST_BYTES = 2**20


class Changes(NamedTuple):
    """Changes, as the option ``changes`` of the job faces-train gives them.

    As JSON: ``{"forget": ["rosa"], "rejected": [{"label": "gus", "descriptor": "discriminant-1a2b3c4d:…"}]}``.
    """

    forget: tuple[str, ...] = ()
    """Labels of people whose known pictures are dropped."""
    rejected: tuple[Rejection, ...] = ()


def prepare(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run for those that were given: the file that ``changes`` names is read.

    Raises:
        ValueError: It holds no changes.
        OSError: It cannot be read.
    """
    text = given.get("changes")
    if text is None:
        return dict(given)
    if "\n" not in text:  # of several lines it is the content of a file
        file = Path(text)
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"--changes names {text}, which has more than {MOST_BYTES:,} bytes")
        text = file.read_text()
    read(text)
    return {**given, "changes": text}


def read(text: str | None) -> Changes:
    """The changes in a JSON text; none for None.

    Raises:
        ValueError: It is of another form.
    """
    if text is None:
        return Changes()
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--changes must be a JSON object with forget and rejected: {error}") from None
    if not isinstance(given, dict) or given.keys() - {"forget", "rejected"}:
        raise ValueError(f"--changes must be a JSON object with forget and rejected, and is {text[:80]}")
    forget = given.get("forget", [])
    if not isinstance(forget, list) or not all(isinstance(label, str) for label in forget):
        raise ValueError(f"--changes: forget is {forget!r}; it must be a list of names")
    return Changes(tuple(forget), tuple(rejections.check(given.get("rejected", []))))


def write(changes: Changes) -> str:
    """The JSON text that ``read`` reads."""
    return f"{json.dumps({'forget': list(changes.forget), 'rejected': [one._asdict() for one in changes.rejected]})}\n"
