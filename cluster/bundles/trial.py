"""Whether a job can be done with a bundle, found out in a process of its own.

A model that is loaded there takes no memory of a worker's main process, from which all its slots are forked, imports
nothing into it, and cannot bring it down.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster import placement

TIMEOUT_S = 120.0
PROBLEM = "problem: "


def problem(job: str, options: Mapping[str, Any], packages: Path) -> str:
    """Why this machine cannot do a job with these options, or "".

    Args:
        job: Its name.
        options: As its functions take them: ``model`` is a folder.
        packages: The folder of what is installed for the bundle.
    """
    command = [sys.executable, "-m", __name__, job, json.dumps(dict(options)), str(packages)]
    try:
        done = subprocess.run(
            command, env=placement.environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"trying it took longer than {TIMEOUT_S:g} s"
    if done.returncode < 0:
        return f"trying it ended the process ({signal.Signals(-done.returncode).name})"
    said = done.stdout.rpartition(PROBLEM)
    if done.returncode or not said[1]:
        return f"trying it failed: {done.stderr.strip().rpartition(os.linesep)[2][:300]}"
    return str(json.loads(said[2]))


def main(job: str, options: str, packages: str) -> None:
    """What the process does: say on stdout why it cannot be done."""
    from cluster import catalog, errors
    from cluster.bundles import requirements

    try:
        requirements.activate(Path(packages))
        found = catalog.get(job).why_unavailable(json.loads(options))
    except errors.ClusterError as error:
        found = str(error)
    print(PROBLEM + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
