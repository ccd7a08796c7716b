"""Names of pages: ``scans/book.pdf#0017`` is page 17 of the document ``scans/book.pdf``.

A ``#`` in a file's own name is written ``%23``, and a ``%23`` as ``%2523``, so that a name means one thing.
"""

from __future__ import annotations

import re

DIGITS = 4
"""At least; ``book.pdf#12345`` has more."""
_PAGE = re.compile(r"(.*)#(\d{4,9})", re.DOTALL | re.ASCII)
_LIKE_ESCAPED = re.compile("%(?=(25)*23)")
_ESCAPED = re.compile("%25(?=(25)*23)|%23")


def document(path: str) -> str:
    """The name of the document at this path, which may hold any character."""
    return _LIKE_ESCAPED.sub("%25", path).replace("#", "%23")


def path(document: str) -> str:
    """The path of which ``document`` made this name."""
    return _ESCAPED.sub(lambda found: "#" if found[0] == "%23" else "%", document)


def page(document: str, number: int) -> str:
    """The item's name of page ``number``, counted from 1."""
    return f"{document}#{number:0{DIGITS}}"


def parse(name: str) -> tuple[str, int | None]:
    """The document of an item, and the number of its page; None where the item is the whole file."""
    found = _PAGE.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, None)
