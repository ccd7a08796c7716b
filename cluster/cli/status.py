"""``cluster status``."""

from __future__ import annotations

import click

from cluster import client, errors, settings
from cluster.cli import print_text, shared, texts
from cluster.client import private_runs
from cluster.client.nodes import rejections


@click.command("status", epilog="\b\nExample:\n  cluster status ocr-1a2b3c4d --json")
@click.argument("run", required=False)
@click.option("--events", is_flag=True, help="Show the events of the run: what happened where, and why.")
@shared.broker
@shared.as_json
def command(run: str | None, events: bool, broker: str | None, as_json: bool) -> None:
    """Show how far RUN is, by default the latest one."""
    if run is None and settings.load(broker_url=broker).broker_url is None and (mine := private_runs.listed()):
        run = mine[0].about.run
    with client.of_run(run or "", broker) as c:
        if run is None:
            latest = c.runs(1)
            if not latest:
                raise errors.UnknownRun("this cluster has no runs yet")
            run = latest[0].run
        status = c.run(run).status()
        there = c.nodes() if status.state == "running" else []
        status.rejections.update(rejections(status.requirement, there))
        if events:
            changes = c.run(run).events()
            if as_json:
                shared.print_json([event.model_dump(mode="json") for event in changes])
            else:
                print_text(texts.history(changes, status))
        elif as_json:
            shared.print_json(status.model_dump(mode="json"))
        else:
            print_text(texts.status(status, there))
