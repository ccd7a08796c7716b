"""Sends files to an upload as a browser does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.kit.pages import Visitor

BYTES = {"Content-Type": "application/octet-stream"}


def bundle(files: Iterable[tuple[str, bytes]], modified: int | None = 1) -> bytes:
    """Files as one body."""
    heads = [(json.dumps({"name": name, "size": len(data), "modified": modified}), data) for name, data in files]
    return b"".join(head.encode() + b"\n" + data for head, data in heads)


def begin(who: Visitor, **about: Any) -> str:
    """A new upload."""
    answer = who.ask("POST", "/api/uploads", json=about)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["upload"])


def send(who: Visitor, upload: str, body: bytes) -> httpx.Response:
    """Send a bundle."""
    return who.ask("POST", f"/api/uploads/{upload}/bundle", content=body, headers=BYTES)


def run(who: Visitor, upload: str, job: str, **options: Any) -> str:
    """Begin a run of an upload; gives its id."""
    answer = who.ask("POST", "/api/runs", json={"job": job, "upload": upload, "options": options})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run"])


def of_folder(folder: Path) -> Mapping[str, bytes]:
    """Name -> bytes of the files in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
