"""The addresses of all pages, as the route table has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from cluster.web.app import ROUTES
from cluster.web.routes import View

Places = Mapping[str, Sequence[str]]
"""What stands in an address in braces -> what it can stand for, as ``{"run": ["ocr-1", "faces-2"]}``; or an address of
the route table -> the addresses that can be opened for it, where not all those fit."""
VIEWS = tuple(sorted({route.path for route in ROUTES if isinstance(route, View)}))


def each(places: Places, paths: Sequence[str] = VIEWS) -> Iterator[str]:
    """The addresses with all that their braces can stand for; those with other names in braces are left out."""
    for path in paths:
        yield from filled(path, places)


def filled(path: str, places: Places) -> list[str]:
    """One address with all that its braces can stand for."""
    if path in places:
        return list(places[path])
    found = re.search(r"{(\w+)(?::\w+)?}", path)
    if found is None:
        return [path]
    return [at for value in places.get(found[1], ()) for at in filled(path.replace(found[0], value, 1), places)]


def file_name(path: str) -> str:
    """An address as the name of a file; of ids of runs only the job, so that names stay."""
    return re.sub(r"-[0-9a-f]{8}\b", "", path.strip("/")).replace("/", "-") or "start"
