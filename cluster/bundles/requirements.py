"""The Python packages that a bundle requires: which of them this machine lacks, and how they are put on the path.

A bundle lists all it needs, as ``pip freeze`` would: packages are installed without their dependencies (``install``).
"""

from __future__ import annotations

import importlib
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from cluster import errors

_active: dict[str, Path] = {}
_lock = threading.Lock()


def plain(line: str) -> str:
    """A requirement in its plain form: as ``packaging`` writes it, then its hashes in order.

    Raises:
        errors.BadBundle: It is none, or names a place instead of a version.
    """
    text, *hashes = _split(line)
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


def parse(line: str) -> Requirement:
    """A requirement without its hashes."""
    return Requirement(_split(plain(line))[0])


def missing(required: Iterable[str], folder: Path | None = None) -> dict[str, str]:
    """What of the requirements is not there, each line with the reason in words.

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
        other = _active.get(name)
        if other not in (None, folder):
            theirs = _installed(other)[name].version if name in _installed(other) else "another one"
            if theirs != one.version:
                return f"{name} {one.version} is required, and this process uses {theirs} for another bundle"
        for module in _modules(one):
            loaded = sys.modules.get(module)
            origin = getattr(loaded, "__file__", None)
            if loaded is not None and origin and other is None and not Path(origin).is_relative_to(folder):
                return f"{name} {one.version} is required, and this process has {module} from {Path(origin).parent}"
    return ""


def difference(folder: Path, other: Path) -> str:
    """Which package two folders hold in different versions, or ""."""
    theirs = _installed(other)
    for name, one in _installed(folder).items():
        if name in theirs and theirs[name].version != one.version:
            return f"{name} {one.version} is required, and {theirs[name].version}"
    return ""


def activate(folder: Path) -> None:
    """Put a folder of packages on this process's path, before those of this Python; again, it does nothing.

    Raises:
        errors.JobUnavailable: This process has one of them in another version; one that has not can do it.
    """
    with _lock:
        if not folder.is_dir() or str(folder) in sys.path:
            return
        problem = conflict(folder)
        if problem:
            raise errors.JobUnavailable(problem)
        _active.update(dict.fromkeys(_installed(folder), folder))
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()


def _problem(wanted: Requirement, own: Mapping[str, Distribution], seen: set[str]) -> str:
    """Why one requirement is not met, or "". ``seen`` are those that are looked at already."""
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
    # What pip installed for this Python, pip has seen to; what lies in the folder came without its dependencies.
    for extra in ("", *sorted(wanted.extras)) if name in own else sorted(wanted.extras):
        for needed in _needs(one, extra):
            if f"{canonicalize_name(needed.name)}[{','.join(sorted(needed.extras))}]" not in seen:
                problem = _problem(needed, own, seen)
                if problem:
                    return f"{wanted.name}{f'[{extra}]' if extra else ''} needs {needed.name}: {problem}"
    return ""


def _needs(one: Distribution, extra: str) -> Iterator[Requirement]:
    """What a distribution depends on; with ``extra``, what that adds."""
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
