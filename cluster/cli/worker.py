"""``cluster worker``."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import click

from cluster import celery_app, cli, redis_client, settings
from cluster.cli import shared

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@click.command(
    "worker",
    epilog="\b\nExamples:\n"
    "  CLUSTER_BROKER_URL=redis://… cluster worker\n"
    "  cluster worker -n office@%h -c 2     # a name, and two slots\n"
    "  cluster worker -Q ocr                # this job only\n"
    "\n"
    "It is `celery -A cluster worker`, which has more options. Settings: CLUSTER_SLOTS (-c), CLUSTER_SLOTS_IN_USE and"
    " CLUSTER_SLOTS_IDLE (how many of them while others use the machine or not), CLUSTER_RESERVE_MEMORY_BYTES (left to"
    " the owner), CLUSTER_INSTALL (packages of models).",
)
@click.option("-n", "--name", metavar="NAME", help="Name of the node; %h is the host's. By default worker@%h.")
@click.option(
    "-c", "--slots", type=click.IntRange(min=1), metavar="N", help="Number of slots; by default by cores and memory."
)
@click.option("-Q", "--queues", metavar="LIST", help="Serve these jobs only, separated by commas: ocr,wordcount.")
@click.option(
    "--loglevel", type=click.Choice(LEVELS, case_sensitive=False), help="Log from this level on; by default INFO."
)
@click.option("--logfile", type=shared.PATH, metavar="FILE", help="Write log lines there; by default to stderr.")
@shared.broker
@click.pass_context
def command(
    context: click.Context, name: str | None, slots: int | None, queues: str | None, loglevel: str | None,
    logfile: str | None, broker: str | None,
) -> None:  # fmt: skip
    """Make this machine a node of a cluster, until Ctrl-C or `cluster shutdown`.

    The worker does the jobs that the machine can do, and logs which it leaves out. It runs at low priority and makes
    way for other programs. Asked to stop, it finishes its current work; a second Ctrl-C stops it at once, and other
    nodes repeat that work.
    """
    config = settings.load(broker_url=broker)
    redis_client.check(config.require_broker())
    gc.set_threshold(*cli.GARBAGE_BY_DEFAULT)  # the jobs are not ours
    given = {
        "--hostname": name, "--concurrency": slots, "--queues": queues, "--loglevel": loglevel, "--logfile": logfile,
        "--log-format": context.meta.get(cli.LOG_FORM),
    }  # fmt: skip
    _run(config, [f"{option}={value}" for option, value in given.items() if value is not None])


def _run(config: settings.Settings, arguments: Sequence[str]) -> None:
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    app = celery_app.build(config)
    worker.params.extend(app.user_options["worker"])
    worker.main(
        list(arguments), prog_name="cluster worker", obj=CLIContext(app, no_color=False, workdir=None, quiet=True)
    )
