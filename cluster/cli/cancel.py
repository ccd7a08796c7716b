"""``cluster cancel``."""

from __future__ import annotations

import click

from cluster import client
from cluster.cli import say, shared


@click.command("cancel", epilog="\b\nExample:\n  cluster cancel ocr-1a2b3c4d")
@click.argument("run")
@shared.broker
def command(run: str, broker: str | None) -> None:
    """Stop RUN and drop its results."""
    with client.existing(broker) as c:
        c.run(run).cancel("cancelled by cluster cancel")
    say(f"{run}: cancelled")
