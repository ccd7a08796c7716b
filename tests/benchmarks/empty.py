"""Chunks that do nothing, so many a second: a ready cluster against plain Celery on the same Redis, Dask and Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import Case, Options, contest, ready
from tests.benchmarks.contest import SCRIPTS, Peer
from tests.benchmarks.goals import Goal
from tests.benchmarks.measure import Failed
from tests.kit.programs import JOBS, Worker

NUMBER, SMALL_NUMBER = 10_000, 200


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """A race; each result must have counted every chunk. Ours are committed one by one, and aggregated."""
    number = options.files or (SMALL_NUMBER if options.small else NUMBER)
    source = folder / "source.txt"
    source.write_text("whatever")

    def check(output: Path) -> str:
        found = json.loads(output.read_bytes())
        if found != {"items": number}:
            raise Failed(f"{found}, and not {number} chunks")
        return ""

    with ready.cluster(folder) as cluster, _celery(cluster.url, folder):
        peers = [
            Peer(
                name="plain Celery, group and chord",
                script="empty_celery.py",
                arguments=[cluster.url, str(number)],
                goal=Goal(">=", 2),
                own_environment=False,
            ),
            Peer(name="Dask", script="empty_dask.py", arguments=[str(number)], goal=Goal(">=", 1)),
            Peer(name="Ray", script="empty_ray.py", arguments=[str(number)], goal=Goal(">=", 1)),
        ]
        flags = ("--number", str(number))
        cluster.submit("empty", [source], folder / "warm", "--number", "50")
        rows = contest.race(
            f"{number:,} empty chunks",
            lambda output: cluster.submit("empty", [source], output, *flags),
            peers,
            check,
            amount=number,
            once_ready=True,
            folder=folder,
            options=options,
        )
    yield Case(name="empty", rows=rows)


def _celery(url: str, folder: Path) -> Worker:
    """Another worker on the same Redis, for plain Celery alone."""
    settings = {"EMPTY_BROKER_URL": url, "PYTHONPATH": f"{SCRIPTS}:{JOBS}"}
    return Worker("plain", url, folder / "plain", "-c", str(ready.SLOTS), app="empty_celery", **settings)
