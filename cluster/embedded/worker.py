"""``python -m cluster.embedded.worker``: ``celery -A cluster worker``, without loading Celery's other commands.

They bring a terminal's toolkit and Flower with them: 0.1 s and 13 MB for a worker that is started for one run.
"""

from __future__ import annotations

from celery.bin.base import CLIContext
from celery.bin.worker import worker

import cluster


def main() -> None:
    """Run a worker with the options of ``celery worker``."""
    worker.main(prog_name="celery worker", obj=CLIContext(app=cluster.app, no_color=True, workdir=None))


if __name__ == "__main__":
    main()
