"""``cluster status``."""

from __future__ import annotations

import click

from cluster import errors
from cluster.cli import print_text, shared, texts


@click.command("status", epilog="\b\nExample:\n  cluster status ocr-1a2b3c4d --json")
@click.argument("run", required=False)
@click.option("--events", is_flag=True, help="Tell the run's story: what happened where, and why.")
@shared.broker
@shared.as_json
def command(run: str | None, events: bool, broker: str | None, as_json: bool) -> None:
    """Show how far RUN is, by default the latest one."""
    _, stores = shared.connect(broker)
    if run is None:
        latest = stores.ledger.runs(1)
        if not latest:
            raise errors.UnknownRun("this cluster has no runs yet")
        run = latest[0].run
    status = stores.ledger.status(run)
    there = stores.nodes.nodes() if status.state == "running" else []
    status.refusals.update(shared.refusals(status, there))
    if events:
        story = stores.ledger.events(run)
        if as_json:
            shared.print_json([event.model_dump(mode="json") for event in story])
        else:
            print_text(texts.story(story, status))
    elif as_json:
        shared.print_json(status.model_dump(mode="json"))
    else:
        print_text(texts.status(status, there))
