"""Streams of a PDF: ours are compressed here, as all others are written as they were."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pikepdf

LEVEL = 4
"""Of Deflate: half the time of 6, for 6 % more bytes."""


def packed(pdf: pikepdf.Pdf, data: bytes, **entries: Any) -> pikepdf.Stream:
    """A new stream of the PDF that holds ``data``, with these entries in its dictionary."""
    stream = pdf.make_stream(b"", **entries)
    rewrite(stream, data)
    return stream


def rewrite(stream: pikepdf.Stream, data: bytes) -> None:
    """Put ``data`` in place of what the stream holds."""
    from pikepdf import Name

    stream.write(zlib.compress(data, LEVEL), filter=Name.FlateDecode)
