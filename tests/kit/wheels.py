"""Tiny wheels, and the same installed, made by hand: tests of packages need no index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

NO_NETWORK = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}


def files(name: str, version: str, needs: Sequence[str] = (), code: str = "") -> dict[str, str]:
    """The files of a distribution with one module of its name."""
    home = f"{name}-{version}.dist-info"
    lines = [f"Requires-Dist: {need}" for need in needs]
    if any("extra ==" in need for need in needs):
        lines.append("Provides-Extra: more")
    found = {
        f"{name}.py": code or f'VERSION = "{version}"\n',
        f"{home}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]) + "\n",
        f"{home}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in found.items()]
    return {**found, f"{home}/RECORD": "\n".join([*rows, f"{home}/RECORD,,"]) + "\n"}


def wheel(folder: Path, name: str, version: str, needs: Sequence[str] = ()) -> str:
    """A wheel in a folder; gives its sha256."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        for inner, text in files(name, version, needs).items():
            out.writestr(inner, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def installed(folder: Path, name: str, version: str, needs: Sequence[str] = ()) -> Path:
    """A folder with the distribution in it, as pip leaves it."""
    for inner, text in files(name, version, needs).items():
        (folder / inner).parent.mkdir(parents=True, exist_ok=True)
        (folder / inner).write_text(text)
    return folder


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
