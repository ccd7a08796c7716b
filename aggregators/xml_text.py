"""Texts of strangers in XML."""

from __future__ import annotations

import re

FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""XML 1.0 has no way to write these."""
MARKS = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def escape(text: str) -> str:
    """A text as it may stand between tags and as an attribute's value, in quotes of either kind.

    What XML forbids becomes U+FFFD. Blanks that attributes would lose are written as references.
    """
    return FORBIDDEN.sub("\ufffd", text).translate(MARKS)
