"""``cluster flower``."""

from __future__ import annotations

import importlib.util
import secrets

import click

from cluster import celery_app, errors, redis_client, settings
from cluster.cli import say, shared
from cluster.embedded import LOOPBACK

USER = "cluster"


@click.command(
    "flower",
    epilog="\b\nExamples:\n"
    "  cluster flower\n"
    "  FLOWER_BASIC_AUTH=me:PASSWORD cluster flower --address 0.0.0.0\n"
    "\n"
    "It is `celery -A cluster flower`, which has more options; all are also variables FLOWER_….",
)
@click.option("--address", default=LOOPBACK, show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=5555, show_default=True, help="Port to listen on.")
@click.option(
    "--basic-auth", "auth", metavar="USER:PASSWORD", envvar="FLOWER_BASIC_AUTH", show_envvar=True,
    help="User and password for the page; by default a random password is made and shown.",
)  # fmt: skip
@shared.broker
def command(address: str, port: int, auth: str | None, broker: str | None) -> None:
    """Show nodes and tasks on a web page, with Flower, until Ctrl-C.

    Anyone who can see the page can also stop nodes. The page shows tasks, not runs and items: a chunk with a failed
    item is a success there. For runs and items see `cluster status`.
    """
    if importlib.util.find_spec("flower") is None:
        raise errors.UsageError("Flower is not installed: pip install 'cluster[web]'")
    config = settings.load(broker_url=broker)
    redis_client.check(config.require_broker())
    if not auth:
        auth = f"{USER}:{secrets.token_urlsafe(9)}"
        say(f"user and password: {auth}")
    say(f"http://{address}:{port} shows the cluster until Ctrl-C")
    _run(config, [f"--address={address}", f"--port={port}", f"--basic-auth={auth}"])


def _run(config: settings.Settings, arguments: list[str]) -> None:
    from celery.bin.base import CLIContext
    from flower.command import flower

    # Flower compares its options with those of the command that it stands below.
    celery = click.Context(click.Command("celery"))
    celery.obj = CLIContext(celery_app.build(config), no_color=False, workdir=None, quiet=True)
    with flower.make_context("flower", arguments, parent=celery) as context:
        flower.invoke(context)
