"""``cluster cancel``."""

from __future__ import annotations

import click

from cluster import settings
from cluster.cli import kept_cluster, say, shared
from cluster.client import private_runs


@click.command("cancel", epilog="\b\nExample:\n  cluster cancel ocr-1a2b3c4d")
@click.argument("run")
@shared.broker
def command(run: str, broker: str | None) -> None:
    """Stop RUN and drop its results."""
    if settings.load(broker_url=broker).broker_url is not None or not private_runs.cancel(run):
        with kept_cluster.acting(broker) as c:
            c.run(run).cancel("cancelled by cluster cancel")
    say(f"{run}: cancelled")
