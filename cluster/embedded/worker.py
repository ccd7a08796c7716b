"""``python -m cluster.embedded.worker``: ``celery -A cluster worker``, without loading Celery's other commands.

They bring a terminal's toolkit and Flower with them: 0.1 s and 13 MB for a worker that is started for one run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from celery.bin.base import CLIContext
from celery.bin.worker import worker

import cluster
from cluster.embedded import JOB_FILE


def main() -> None:
    """Run a worker with the options of ``celery worker``, which also knows the job of ``--job-file FILE``."""
    if sys.argv[1:2] == [JOB_FILE]:
        from cluster.embedded import jobs

        jobs.learn(Path(sys.argv[2]))
        del sys.argv[1:3]  # the rest is read by Celery, too
    worker.main(prog_name="celery worker", obj=CLIContext(app=cluster.app, no_color=True, workdir=None))


if __name__ == "__main__":
    main()
