"""Install what a bundle requires into a folder of its own: never into this Python, and nothing that is not named."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cluster import errors
from cluster.bundles import requirements
from cluster.bundles.paths import DRAFT

TIMEOUT_S = 900
SHOWN_LINES = 15
OPTIONS = (
    "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar=off",
    "--no-deps",  # a bundle names all it needs; whatever else pip would choose is not pinned
    "--only-binary=:all:",  # nothing of a package runs while it is installed
)  # fmt: skip


def install(required: Sequence[str], folder: Path, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Install with pip, in a process of its own, those of the requirements that this Python lacks; gives these.

    Args:
        required: Lines of a manifest. What is to be installed must be pinned by ``==``. Where one has hashes all must,
            and pip takes nothing else.
        folder: Appears whole or not at all, in place of an older one. pip is told by its own settings
            (``PIP_INDEX_URL``, ``pip.conf``) where packages are.
        timeout_s: pip is ended after so long.

    Raises:
        errors.NotInstalled: It did not work; the message ends with what pip said.
        OSError: The folder cannot be written.
    """
    if not requirements.missing(required, folder):
        return []
    lines = sorted(requirements.missing(required))
    for line in lines:
        _check_pinned(line)
    hashed = [line for line in lines if "--hash=" in line]
    if hashed and len(hashed) < len(lines):
        bare = next(line for line in lines if line not in hashed)
        raise errors.NotInstalled(f"{bare!r} has no hash while others have: give hashes to all requirements or to none")
    draft = folder.parent / f"{DRAFT}{uuid.uuid4().hex}"
    packages, wanted = draft / "packages", draft / "requirements.txt"
    draft.mkdir(parents=True)
    try:
        wanted.write_text("\n".join(lines) + "\n")
        _run_pip(["--target", str(packages), "-r", str(wanted), *(["--require-hashes"] if hashed else [])], timeout_s)
        for line, problem in requirements.missing(required, packages).items():
            raise errors.NotInstalled(f"{line} is installed, but {problem}; the bundle's requirements must name all")
        _replace(folder, packages, draft / "old")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return lines


def _replace(folder: Path, new: Path, old: Path) -> None:
    """Put ``new`` where ``folder`` is. Whoever is faster with the same wins."""
    with suppress(FileNotFoundError):
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _check_pinned(line: str) -> None:
    wanted = requirements.parse(line)
    pins = list(wanted.specifier)
    if len(pins) != 1 or pins[0].operator not in ("==", "===") or pins[0].version.endswith("*"):
        raise errors.NotInstalled(
            f"{line!r} is not here, and is not installed as it names no single version; write {wanted.name}==VERSION"
        )


def _run_pip(arguments: Sequence[str], timeout_s: float) -> None:
    command = [sys.executable, "-m", "pip", "install", *OPTIONS, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        text=True, errors="replace",
    ) as pip:  # fmt: skip
        try:
            said, _ = pip.communicate(timeout=timeout_s)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(pip.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise errors.NotInstalled(f"pip took longer than {timeout_s:g} s and was ended") from None
            raise
    if pip.returncode:
        last = "\n".join(line for line in said.splitlines()[-SHOWN_LINES:] if line.strip())
        hint = "" if "No module named pip" not in said else " (this Python has no pip: `python -m ensurepip` adds it)"
        raise errors.NotInstalled(f"pip could not install what is required{hint}:\n{last}")
