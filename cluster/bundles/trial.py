"""Whether a job can be done with a bundle, found out in a process of its own.

A model that is loaded there takes no memory of a worker's main process, from which all its slots are forked, imports
nothing into it, and cannot bring it down.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import placement

if TYPE_CHECKING:
    from cluster.bundles.content import Content
    from cluster.bundles.manifest import Manifest
    from cluster.job import Job

TIMEOUT_S = 120.0
PROBLEM = "problem: "
UNUSABLE = "no machine can use this bundle: "
"""A reason begins so that lies in the bundle alone."""


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


def problem_of(given: Content, drafted: Manifest, job: Job, packages: Path | None) -> str:
    """Why a content that is to become a bundle cannot be used, or "".

    Args:
        given: Its files.
        drafted: What is said of them.
        job: The job it is for.
        packages: The folder of what is installed here for it. None: this machine lacks something that it takes, so
            only what is wrong on every machine is looked for.

    Raises:
        OSError: A file cannot be read, or there is no room to lay the files out as on a node.
    """
    with tempfile.TemporaryDirectory(prefix="cluster-bundle-") as place:
        folder = Path(place)
        for name, data in given.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(data, bytes):
                path.write_bytes(data)
            else:
                shutil.copyfile(data, path)
        (folder / "bundle.json").write_bytes(drafted.description)
        if why := job.unusable(place):
            return f"{UNUSABLE}{why}"
        return "" if packages is None else problem(job.name, {"model": place}, packages)


def main(job: str, options: str, packages: str) -> None:
    """Print on stdout, as JSON, why the job cannot be done; "" if it can. The process of ``problem`` runs this."""
    from cluster import catalog, errors
    from cluster.bundles import requirements

    try:
        requirements.activate(Path(packages))
        wanted, values = catalog.get(job), json.loads(options)
        found = wanted.unusable(values["model"]) if values.get("model") else ""
        found = f"{UNUSABLE}{found}" if found else wanted.why_not_here(values)
    except errors.ClusterError as error:
        found = str(error)
    print(PROBLEM + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
