"""The Python packages that a bundle requires."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from cluster import errors


def plain(line: str) -> str:
    """A requirement in its plain form: as ``packaging`` writes it, then its hashes in order.

    Raises:
        errors.BadBundle: It is none, or names a place instead of a version.
    """
    text, *hashes = re.split(r"\s+--hash=", " ".join(line.split()))
    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        raise errors.BadBundle(f"{line!r} is no requirement: {str(error).splitlines()[0]}") from None
    if found.url:
        raise errors.BadBundle(f"the requirement {line!r} names a place; name a version, as {found.name}==1.2")
    for value in hashes:
        if not re.fullmatch(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}", value):
            raise errors.BadBundle(f"the requirement {line!r}: {value!r} is no hash; write --hash=sha256:<64 digits>")
    return " ".join([str(found), *(f"--hash={value}" for value in sorted(hashes))])


def missing(requirements: Sequence[str], folder: Path) -> dict[str, str]:
    return {}


def install(requirements: Sequence[str], folder: Path) -> None:
    pass
