"""Our scripts, styles and icon. Browsers keep them for good, below an address that changes with any of them.

They are read once, when the page starts: all that a browser shows is of one version.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cluster.web import compressed

if TYPE_CHECKING:
    import markupsafe

ROOT = "/static"
TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
IMPORT = re.compile(r"(?:from|import)\s*'\./([\w.]+\.js)'")
SHARED = "page.js"
"""The module of every page."""


@dataclass(frozen=True)
class File:
    """A file as browsers get it."""

    data: bytes
    media_type: str

    @functools.cached_property
    def zipped(self) -> bytes:
        """Its bytes, compressed as far as possible."""
        return gzip.compress(self.data, 9, mtime=0)

    @functools.cached_property
    def tag(self) -> str:
        """Tells this content from any other, for ``If-None-Match``."""
        return f'W/"{hashlib.sha256(self.data).hexdigest()[:16]}"'


@functools.cache
def every() -> Mapping[str, File]:
    """All files by name."""
    found = sorted((files("cluster.web") / "static").iterdir(), key=lambda file: file.name)
    return {file.name: File(file.read_bytes(), TYPES[PurePath(file.name).suffix[1:]]) for file in found}


@functools.cache
def version() -> str:
    """Tells these files from those of any other version."""
    return hashlib.sha256("".join(f"{name}{file.tag}" for name, file in every().items()).encode()).hexdigest()[:12]


def address(name: str) -> str:
    """Where a file of this version is."""
    return f"{ROOT}/{version()}/{name}"


def scripts(name: str) -> markupsafe.Markup:
    """The elements by which a page has a module, and begins to load what that imports at once."""
    import markupsafe

    preload = markupsafe.Markup('<link rel="modulepreload" href="{}">')
    script = markupsafe.Markup('<script type="module" src="{}"></script>')
    wanted = [preload.format(address(one)) for one in imported(name) if one != SHARED]
    return markupsafe.Markup("").join([*wanted, script.format(address(name))])


@functools.cache
def imported(name: str) -> tuple[str, ...]:
    """All modules that a module imports, directly or not."""
    direct = IMPORT.findall(every()[name].data.decode())
    return tuple(dict.fromkeys([*direct, *(one for each in direct for one in imported(each))]))


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request below ``ROOT``: ``VERSION/NAME``, or ``NAME``, which a browser asks for again each time.

    A page of a version before asks for files of that version. It gets those that are here.
    """
    if scope["method"] not in ("GET", "HEAD"):
        raise HTTPException(405, headers={"Allow": "GET, HEAD"})
    of, _, name = scope["path"].removeprefix(f"{ROOT}/").rpartition("/")
    file = every().get(name)
    if file is None or "/" in of:
        raise HTTPException(404)
    await _answer(file, Headers(scope=scope), FOR_GOOD if of == version() else ASK_AGAIN)(scope, receive, send)


def _answer(file: File, asked: Headers, kept: str) -> Response:
    headers = {"Cache-Control": kept, "ETag": file.tag, "Vary": "Accept-Encoding"}
    if file.tag in asked.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if not compressed.takes_gzip(asked):
        return Response(file.data, headers=headers, media_type=file.media_type)
    return Response(file.zipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media_type)
