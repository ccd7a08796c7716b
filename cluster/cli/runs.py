"""``cluster runs``."""

from __future__ import annotations

import click

from cluster.cli import shared, texts


@click.command("runs", epilog="\b\nExample:\n  cluster runs --json")
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@shared.broker
@shared.as_json
def command(most: int, broker: str | None, as_json: bool) -> None:
    """List the runs of a cluster, newest first."""
    _, stores = shared.connect(broker)
    found = stores.ledger.runs(most)
    if as_json:
        shared.print_json([run.model_dump(mode="json", exclude={"failures"}) for run in found])
        return
    for run in found:
        click.echo(
            f"{run.run:24} {run.state:10} {texts.items(run):32} {texts.duration(run.seconds):>10}"
            f"  {run.started_at.astimezone():%Y-%m-%d %H:%M}"
        )
    if not found:
        click.echo("no runs yet", err=True)
