"""``cluster resume``."""

from __future__ import annotations

from pathlib import Path

import click

from cluster import client
from cluster.cli import foreground, output, say, shared
from cluster.client import resume, saving


@click.command(
    "resume",
    epilog="\b\nExamples:\n  cluster resume ocr-1a2b3c4d ./scans -o texts.json\n  cluster resume ocr-1a2b3c4d\n\n"
    "Exit codes: those of `cluster submit`.",
)
@click.argument("run")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("-o", "--output", "target", type=shared.OUTPUT, help="Write the result there.")
@click.option("--format", "format_name", default="json", show_default=True, help="How to write the result.")
@shared.annotate
@shared.report
@shared.save
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@shared.broker
def command(
    run: str, inputs: tuple[str, ...], target: str | None, format_name: str, drawn: Path | None,
    report: Path | None, save: Path | None, quiet: bool, broker: str | None,
) -> int:  # fmt: skip
    """Continue RUN, whose submitter is gone, and print its result.

    INPUT is what the run was submitted with; what was read of it before is not done again. It is not needed
    where all of it was read: `cluster status RUN` says so. If RUN is done by now its result is printed, as by
    `cluster result`.
    """
    c = client.existing(broker)
    status = c.run(run).status()
    resume.require_possible(status, has_input=bool(inputs))
    job = resume.job_of(c, status)
    to = output.prepare(job, format_name, status.options, target, drawn, inputs, status.started_at, report)
    if save is None and (told := saving.left_out(job, status)):
        say(told)
    with foreground.terminable(), c:
        taken_up = resume.take_up(c, status, inputs or None, background=False, save=save)
        return foreground.to_end(c, taken_up, to, quiet=quiet)
