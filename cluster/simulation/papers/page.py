"""The files of a figure: a picture, all its points as CSV, and a page that says what they mean."""

from __future__ import annotations

import csv
import datetime
import io
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from cluster import __version__, errors
from cluster.simulation.papers import Finding, Row, trainings

INCHES = (11.0, 4.6)
DPI = 90
LIBRARIES = ("numpy", "torch", "simpy")


def require() -> None:
    """See that pictures can be drawn here.

    Raises:
        errors.NotInstalled: matplotlib is missing.
    """
    try:
        import matplotlib.figure  # noqa: F401 - whether it can be imported
    except ImportError:
        raise errors.NotInstalled(
            f"the picture is drawn with matplotlib, which is not installed: {sys.executable} -m pip install"
            ' "cluster[plots]"'
        ) from None


def write(finding: Finding, folder: Path, command: str) -> list[Path]:
    """Write the picture, the CSV and the page; files of an earlier call are replaced, each at once.

    Args:
        finding: What is written.
        folder: It is made if there is none.
        command: That made them, for the page.

    Raises:
        OSError: They cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        ".png": png(finding), ".csv": csv_of(finding.rows).encode(), ".md": text(finding, command, machine()).encode()
    }  # fmt: skip
    paths = []
    for ending, data in made.items():
        path = (folder / finding.name).with_suffix(ending)
        draft = path.with_name(f".{path.name}.part")
        draft.write_bytes(data)
        draft.replace(path)
        paths.append(path)
    return paths


def png(finding: Finding) -> bytes:
    """Draw the figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    finding.draw(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def csv_of(rows: Sequence[Row]) -> str:
    """The rows as CSV; a field that a row lacks is empty."""
    fields = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def text(finding: Finding, command: str, where: Mapping[str, str]) -> str:
    """The page in Markdown."""
    parts = [f"# {finding.title}", f"![{finding.title}]({finding.name}.png)"]
    if finding.warnings:
        parts += ["## Not to be relied on", _list(finding.warnings)]
    parts += ["## What the paper claims", _list(finding.claims), "## What came out here", _list(finding.found)]
    parts += [_table(finding.table), "## Where they differ", _list(finding.differs), "## How it was made"]
    made = {"command": f"`{command}`", **finding.setting, **where, "all points": f"[CSV]({finding.name}.csv)"}
    parts += [_table([{"what": name, "value": value} for name, value in made.items()])]
    return "\n\n".join(parts) + "\n"


def machine() -> dict[str, str]:
    """What the numbers were made on, and with which versions."""
    versions = [f"cluster {__version__}", f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return {
        "machine": f"{processor()}, {trainings.cores()} cores, {platform.system()}",
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "versions": ", ".join(versions),
    }


def processor() -> str:
    """The model of the processor, as far as the system tells."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    named = re.search(r"^model name\s*: (.+)$", told, re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences) or "- nothing that these numbers show"


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([_cell(row.get(name)) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    shown = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return shown.replace("|", "\\|")
