"""The Python packages that a bundle requires: which of them this machine lacks, and how they are put on the path.

A bundle lists all it needs, as ``pip freeze`` would: packages are installed without their dependencies (``install``).
``packaging``, which reads them, is imported where one is read: most processes never do.
"""

from __future__ import annotations

import importlib
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import errors

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_active: list[Path | None] = []
"""The folder that this process works with, if any."""
_lock = threading.Lock()
_FORM = "it may have a name, extras, versions, a marker and hashes, as NAME==1.2 --hash=sha256:…"


def plain(line: str) -> str:
    """A requirement in its plain form: as ``packaging`` writes it, then its hashes in order.

    pip reads more into a line than ``packaging`` does: variables, options, places, comments. None of that passes.

    Raises:
        errors.BadBundle: It is none, or holds what pip would take for something else.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    text, *hashes = _split(line)
    if found := re.search(r"[^A-Za-z0-9_.\[\](),;<>=!~+*'\" -]|===|(?<!\S)-", text):
        raise errors.BadBundle(f"the requirement {line!r} has {found[0]!r} in it; {_FORM}")
    try:
        parsed = Requirement(text)
    except InvalidRequirement as error:
        raise errors.BadBundle(f"{line!r} is no requirement: {str(error).splitlines()[0]}") from None
    for value in hashes:
        if not re.fullmatch(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}", value):
            raise errors.BadBundle(f"the requirement {line!r}: {value!r} is no hash; write --hash=sha256:<64 digits>")
    return " ".join([str(parsed), *(f"--hash={value}" for value in sorted(hashes))])


def parse(line: str) -> Requirement:
    """A requirement without its hashes."""
    from packaging.requirements import Requirement

    return Requirement(_split(plain(line))[0])


def missing(required: Iterable[str], folder: Path | None = None) -> dict[str, str]:
    """Return the requirements that are missing here, each line with the reason in words.

    Args:
        required: Lines of a manifest. Those whose marker does not hold here are met.
        folder: The bundle's own packages. They win over those of this Python, and what they
            depend on must be there, too.
    """
    own = _installed(folder)
    found = {}
    for line in required:
        wanted = parse(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            problem = _problem(wanted, own, {""})
            if problem:
                found[line] = problem
    return found


def conflict(folder: Path) -> str:
    """Why the packages in a folder cannot be used in this process, or ""."""
    for name, one in _installed(folder).items():
        for module in _modules(one):
            origin = getattr(sys.modules.get(module), "__file__", None)
            if origin and not Path(origin).is_relative_to(folder):
                return f"{name} {one.version} is required, and this process has {module} from {Path(origin).parent}"
    return ""


def activate(folder: Path | None) -> None:
    """Have this process work with a folder of packages, or with none, from now on; again, it does nothing.

    What was imported stays, so a process works with one folder all its life, or with none until then.

    Args:
        folder: Goes on the path before what is installed for this Python. None, or one that is not there: none.

    Raises:
        errors.OtherProcess: It works with others already; a new process can do it.
    """
    wanted = folder if folder is not None and folder.is_dir() else None
    with _lock:
        if _active == ([wanted] if wanted else []):
            return
        problem = f"this process works with {_active[0]}" if _active or wanted is None else conflict(wanted)
        if problem:
            raise errors.OtherProcess(problem)
        _active.append(wanted)
        sys.path.insert(0, str(wanted))
        importlib.invalidate_caches()


def _problem(wanted: Requirement, own: Mapping[str, Distribution], seen: set[str]) -> str:
    """Why one requirement is not met, or "". ``seen`` are those that are looked at already."""
    from packaging.utils import canonicalize_name

    name = canonicalize_name(wanted.name)
    one = own.get(name)
    try:
        one = one or distribution(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is not installed"
    version = one.version
    if not version or not wanted.specifier.contains(version, prereleases=True):
        return f"{wanted.name} {version or 'of unknown version'} is installed; {wanted.specifier} is required"
    seen.add(f"{name}[{','.join(sorted(wanted.extras))}]")
    # pip has checked the packages of this Python; those in the folder were installed without their dependencies.
    for extra in ("", *sorted(wanted.extras)) if name in own else sorted(wanted.extras):
        for needed in _needs(one, extra):
            if f"{canonicalize_name(needed.name)}[{','.join(sorted(needed.extras))}]" not in seen:
                problem = _problem(needed, own, seen)
                if problem:
                    return f"{wanted.name}{f'[{extra}]' if extra else ''} needs {needed.name}: {problem}"
    return ""


def _needs(one: Distribution, extra: str) -> Iterator[Requirement]:
    """Yield the requirements of a distribution; with ``extra``, those that the extra adds."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in one.requires or ():
        try:
            needed = Requirement(line)
        except InvalidRequirement:
            continue
        plainly = needed.marker is None or needed.marker.evaluate({"extra": ""})
        if plainly != bool(extra) and (plainly or (needed.marker and needed.marker.evaluate({"extra": extra}))):
            yield needed


def _installed(folder: Path | None) -> dict[str, Distribution]:
    """The distributions in a folder."""
    if folder is None or not folder.is_dir():
        return {}
    from packaging.utils import canonicalize_name

    return {canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(folder)])}


def _modules(one: Distribution) -> set[str]:
    """The top-level modules that a distribution brings."""
    found = set()
    for path in one.files or ():
        if path.suffix in (".py", ".so", ".pyd") and path.parts[0] != "..":
            found.add(path.parts[0].partition(".")[0])
    return found


def _split(line: str) -> Sequence[str]:
    return re.split(r"\s+--hash=", " ".join(line.split()))
