"""``cluster result``."""

from __future__ import annotations

from pathlib import Path

import click

from cluster import client, errors, logs
from cluster.cli import output as outputs
from cluster.cli import say, shared, texts
from cluster.cli.progress import Progress
from cluster.client import Run
from cluster.client.nodes import join_line
from cluster.client.result import require_done
from cluster.client.run import Status
from cluster.texts import worth_texts


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
@shared.report
@click.option("--wait", is_flag=True, help="Wait for the run to end.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@shared.broker
def command(
    run: str, inputs: tuple[str, ...], output: str | None, format_name: str, drawn: Path | None, report: Path | None,
    wait: bool, quiet: bool, broker: str | None,
) -> int:  # fmt: skip
    """Print the result of RUN, which has ended. It is kept for a week.

    INPUT, what the run was submitted with, is needed for --annotate and --format pdf only.
    """
    with client.of_run(run, broker, patient=wait) as c:
        asked = c.run(run)
        status = asked.status()
        to = outputs.prepare(asked.job, format_name, status.options, output, drawn, inputs, status.started_at, report)
        if wait:
            hint = f"; on a machine that should help: {join_line(c.config)}"
            shown = Progress(lambda: asked.status(failures=False), asked.nodes, quiet=quiet, lonely_hint=hint)
            with shown as progress:
                status = asked.wait(on_wait=progress)
        return _print(asked, status, to)


def _print(run: Run, status: Status, to: outputs.Target) -> int:
    if status.state == "running":
        raise errors.RunNotFinished(f"the run {run.id} is still going on: {texts.items(status)} (see --wait)")
    require_done(status)
    told = texts.missing(status)
    try:
        problems = to.write(run, status)
    except (OSError, errors.ClusterError) as error:
        if told and not isinstance(error, BrokenPipeError):
            say("\n".join(told))  # that the result cannot be written hides nothing that is missing
        raise
    if lines := [*told, *worth_texts.of_run(run), *map(logs.plain, problems)]:
        say("\n".join(lines))
    return errors.ITEMS_MISSING_EXIT_CODE if status.items_failed or problems else 0
