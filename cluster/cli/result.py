"""``cluster result``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cluster import catalog, errors, logs
from cluster.cli import foreground, say, shared, texts
from cluster.cli import output as outputs
from cluster.cli.progress import Progress


@click.command(
    "result",
    epilog="\b\nExamples:\n"
    "  cluster result ocr-1a2b3c4d -o texts.json\n"
    "  cluster result ocr-1a2b3c4d --wait --format text-folder -o texts/",
)
@click.argument("run")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("-o", "--output", type=shared.OUTPUT, help="Write the result there, not to stdout (-).")
@click.option("--format", "format_name", default="json", show_default=True, help="How to write the result.")
@shared.annotate
@click.option("--wait", is_flag=True, help="Wait for the run to end.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@shared.broker
def command(
    run: str, inputs: tuple[str, ...], output: str | None, format_name: str, drawn: Path | None, wait: bool,
    quiet: bool, broker: str | None,
) -> int:  # fmt: skip
    """Print the result of RUN, which has ended. It is kept for a week.

    INPUT, what the run was submitted with, is needed for --annotate only.
    """
    config, stores = shared.connect(broker, patient=wait)
    status = stores.ledger.status(run)
    job = catalog.get(status.job)
    to = outputs.prepare(job, format_name, status.options, output, drawn, inputs, status.started_at)
    if wait:
        hint = f"; on a machine that should help: {foreground.join_line(config)}"
        with Progress(
            lambda: stores.ledger.status(run, failures=False), stores.nodes.nodes, quiet=quiet, lonely_hint=hint
        ) as progress:
            while stores.ledger.progress(run).state == "running":
                progress()
                time.sleep(0.1)
        status = stores.ledger.status(run)
    if status.state == "running":
        raise errors.RunNotFinished(f"the run {run} is still going on: {texts.items(status)} (see --wait)")
    if status.state == "cancelled":
        raise errors.RunCancelled(f"the run {run} was cancelled: {logs.plain(status.error or '')}")
    if status.state == "failed":
        raise errors.RunFailed(f"the run {run} failed: {logs.plain(status.error or '')}")
    told = texts.missing(status)
    try:
        problems = to.write(job, status, stores, config)
    except (OSError, errors.ClusterError) as error:
        if told and not isinstance(error, BrokenPipeError):
            say("\n".join(told))  # that the result cannot be written hides nothing that is missing
        raise
    if lines := [*told, *map(logs.plain, problems)]:
        say("\n".join(lines))
    return errors.ITEMS_MISSING_EXIT_CODE if status.items_failed or problems else 0
