"""Install what a bundle requires into a folder of its own: never into this Python, and nothing that is not named."""

from __future__ import annotations

import ast
import logging
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cluster import errors, placement
from cluster.bundles import requirements
from cluster.bundles.paths import DRAFT

TIMEOUT_S = 900
SHOWN_LINES = 15
OPTIONS = (
    "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar=off",
    "--no-deps",  # a bundle names all it needs; whatever else pip would choose is not pinned
    "--only-binary=:all:",  # nothing of a package runs while it is installed
    "--require-hashes",
)  # fmt: skip
ENVIRONMENT = frozenset(
    {
        "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "XDG_CACHE_HOME", "NETRC",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    }
)  # fmt: skip
"""The variables that pip is given: no password of ours is among them."""
REACH = frozenset(
    {
        "index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "cert", "client-cert", "proxy",
        "timeout", "default-timeout", "retries", "keyring-provider", "cache-dir", "no-cache-dir",
    }
)  # fmt: skip
"""Options of the owner's pip configuration that apply: how packages are reached, not which are installed, or where."""
FAILED = "pip could not install what is required; the log of that machine tells why"
NO_PIP = "this Python has no pip: `python -m ensurepip` adds it"
CONFIG_TIMEOUT_S = 60
log = logging.getLogger(__name__)


def install(required: Sequence[str], folder: Path, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Install with pip, in a process of its own, those of the requirements that this Python lacks; gives these.

    Args:
        required: Lines of a manifest. What is to be installed must be pinned by ``==`` and have hashes: pip takes
            nothing else.
        folder: Appears whole or not at all, in place of an older one. pip is told by its own settings
            (``PIP_INDEX_URL``, ``pip.conf``) where packages are, see ``REACH``.
        timeout_s: pip is ended after these seconds.

    Raises:
        errors.NotInstalled: It did not work. Others read the message: what pip said stands in the log only.
        OSError: The folder cannot be written.
    """
    if not requirements.missing(required, folder):
        return []
    lines = sorted(requirements.missing(required))
    for line in lines:
        _check_pinned(line)
        if "--hash=" not in line:
            raise errors.NotInstalled(
                f"{line!r} is not here, and is not installed as it has no hash; write {line} --hash=sha256:…,"
                " as `pip hash` or `pip-compile --generate-hashes` tells it"
            )
    draft = folder.parent / f"{DRAFT}{uuid.uuid4().hex}"
    packages, wanted = draft / "packages", draft / "requirements.txt"
    draft.mkdir(parents=True)
    try:
        wanted.write_text("\n".join(lines) + "\n")
        _run_pip(["--target", str(packages), "-r", str(wanted)], timeout_s)
        for line, problem in requirements.missing(required, packages).items():
            raise errors.NotInstalled(f"{line} is installed, but {problem}; the bundle's requirements must name all")
        _replace(folder, packages, draft / "old")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return lines


def _replace(folder: Path, new: Path, old: Path) -> None:
    """Put ``new`` where ``folder`` is. If two processes install the same, the faster one wins."""
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
    if len(pins) != 1 or pins[0].operator != "==" or pins[0].version.endswith("*"):
        raise errors.NotInstalled(
            f"{line!r} is not here, and is not installed as it names no single version; write {wanted.name}==VERSION"
        )


def _run_pip(arguments: Sequence[str], timeout_s: float) -> None:
    command = [sys.executable, "-m", "pip", "install", *OPTIONS, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        text=True, errors="replace", env=_environment(),
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
        for line in said.splitlines()[-SHOWN_LINES:]:
            log.warning("pip: %s", line, extra={"event": "pip"})
        raise errors.NotInstalled(FAILED)


def _environment() -> dict[str, str]:
    """pip's environment: little of ours, and of the owner's configuration only how packages are reached.

    ``--isolated`` would leave out that as well, and read the machine's ``pip.conf`` all the same.
    """
    env = placement.chosen(ENVIRONMENT)
    reach = {f"PIP_{name.replace('-', '_').upper()}" for name in REACH}
    asking = placement.chosen(ENVIRONMENT | reach | {"PIP_CONFIG_FILE", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"})
    found = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", timeout=CONFIG_TIMEOUT_S, env={**asking, "PYTHONSAFEPATH": "1"}, check=False,
    )  # fmt: skip
    if "No module named pip" in found.stderr:
        raise errors.NotInstalled(NO_PIP)
    for section in ("global.", "install.", ":env:."):  # the last one wins, as it does for pip
        for line in found.stdout.splitlines():
            name, _, value = line.removeprefix(section).partition("=")
            if line.startswith(section) and name in REACH:
                env[f"PIP_{name.replace('-', '_').upper()}"] = str(ast.literal_eval(value))
    return {**env, "PIP_CONFIG_FILE": os.devnull, "PYTHONSAFEPATH": "1"}
