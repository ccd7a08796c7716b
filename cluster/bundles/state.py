"""Which version of a bundle is the current one, and what is said where there is none."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

from cluster import errors


class State(NamedTuple):
    """Which versions of a bundle are meant; 0 for none."""

    last: int = 0
    """The number given last, also if that version is removed."""
    latest: int = 0
    """The version pushed last; once that is removed, the highest one left."""
    pinned: int = 0

    @property
    def current(self) -> int:
        """The version that runs get."""
        return self.pinned or self.latest


def taken(name: str) -> errors.NameTaken:
    """Return the error for a first version of a bundle that has one."""
    return errors.NameTaken(f"others have made a model {name!r} already: name another one")


def unknown(name: str, version: int | None, names: Sequence[str], versions: Sequence[int]) -> errors.UnknownBundle:
    """Return the error for a bundle or version that does not exist; it lists the existing ones."""
    if not versions:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return errors.UnknownBundle(f"no bundle {name!r} (there are: {', '.join(names) or 'none'}){hint}")
    there = ", ".join(map(str, sorted(versions)))
    return errors.UnknownBundle(f"no version {version} of the bundle {name} (there are: {there})")
