"""``cluster pause``."""

from __future__ import annotations

import click

from cluster import client
from cluster.cli import say, shared, texts


@click.command("pause", epilog="\b\nExample:\n  cluster pause ocr-1a2b3c4d")
@click.argument("run")
@shared.broker
def command(run: str, broker: str | None) -> None:
    """Begin no more of RUN until `cluster resume RUN`; what is being worked on is still counted.

    A paused run is kept for a week. One that goes in rounds cannot be paused.
    """
    with client.of_run(run, broker) as c:
        paused = c.run(run)
        paused.pause("by cluster pause")
        status = paused.status(failures=False)
    say(f"{run}: paused, {texts.items(status)}. To go on: `{texts.resume(status)}`; to drop it: `cluster cancel {run}`")
