"""``cluster cancel``."""

from __future__ import annotations

import click

from cluster import errors
from cluster.cli import say, shared
from cluster.runs.cancel import cancel


@click.command("cancel", epilog="\b\nExample:\n  cluster cancel ocr-1a2b3c4d")
@click.argument("run")
@shared.broker
def command(run: str, broker: str | None) -> None:
    """Stop RUN. What it has done so far is dropped."""
    _, stores = shared.connect(broker)
    did, state = cancel(run, stores, "cancelled by cluster cancel")
    if state == "unknown":
        raise errors.UnknownRun(f"no run {run!r} in this cluster (`cluster runs` lists them)")
    if not did and state != "cancelled":
        raise errors.RunFailed(f"the run {run} has ended already: {state}")
    say(f"{run}: cancelled")
