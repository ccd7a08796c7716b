"""``cluster services``: list, scale, stop."""

from __future__ import annotations

import shutil
import sys

import click

from cluster import client, logs
from cluster.cli import kept_cluster, print_text, say, shared
from cluster.texts import service_texts


@click.group(
    "services",
    invoke_without_command=True,
    epilog="\b\nExamples:\n  cluster services\n  cluster services scale office 3\n  cluster services stop office",
)
@shared.broker
@shared.as_json
@click.pass_context
def command(ctx: click.Context, broker: str | None, as_json: bool) -> None:
    """List the services of a cluster, scale and stop them. `cluster serve` starts one.

    A line tells how many replicas are ready, on which nodes, with which versions, the mean of what they answer in a
    second, and within how long 95 of 100 answers came lately.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = broker
        return
    found = client.existing(broker).services()
    if as_json:
        shared.print_json([service.model_dump(mode="json") for service in found])
        return
    if found:
        print_text(service_texts.table(found, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    else:
        say("no services (`cluster serve` starts one)")


@command.command("scale", epilog="\b\nExample:\n  cluster services scale office 3")
@click.argument("name")
@click.argument("replicas", type=click.IntRange(min=0))
@shared.broker
@click.pass_context
def scale(ctx: click.Context, name: str, replicas: int, broker: str | None) -> None:
    """Have the nodes run REPLICAS replicas of the service NAME. 0 keeps the service, which then answers nothing."""
    kept_cluster.acting(broker or ctx.obj).service(name).scale(replicas)
    say(f"{logs.plain(name)}: {replicas} replicas wanted; `cluster services` shows those that are ready")


@command.command("stop", epilog="\b\nExample:\n  cluster services stop office")
@click.argument("name")
@shared.broker
@click.pass_context
def stop(ctx: click.Context, name: str, broker: str | None) -> None:
    """End the service NAME: its replicas answer what they have taken, and go. Its model stays."""
    kept_cluster.acting(broker or ctx.obj).service(name).stop()
    print_text(f"stopped {name}")
