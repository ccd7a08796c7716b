"""Whether a PDF is signed: a change of it would end that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pikepdf

SIGNATURES_EXIST = 1
"""The bit of /SigFlags."""
MOST_FIELDS = 100_000
"""Of a form, that are looked at; no form that people fill in has as many."""


def is_signed(pdf: pikepdf.Pdf) -> bool:
    """Whether it says that signatures are in it, or a field of it holds one."""
    import pikepdf

    form = pdf.Root.get("/AcroForm")
    if not isinstance(form, pikepdf.Dictionary):
        return False
    flags = form.get("/SigFlags", 0)
    if isinstance(flags, int) and flags & SIGNATURES_EXIST:
        return True
    return any(field.get("/FT") == pikepdf.Name.Sig and "/V" in field for field in _fields(form.get("/Fields")))


def _fields(top: object) -> Iterator[pikepdf.Object]:
    """All fields below, with groups of fields."""
    import pikepdf

    waiting = list(top) if isinstance(top, pikepdf.Array) else []
    for _ in range(MOST_FIELDS):
        if not waiting:
            return
        field = waiting.pop()
        if isinstance(field, pikepdf.Dictionary):
            yield field
            kids = field.get("/Kids")
            waiting += list(kids) if isinstance(kids, pikepdf.Array) and len(waiting) < MOST_FIELDS else []
