"""``cluster resume``."""

from __future__ import annotations

from pathlib import Path

import click

from cluster import client, logs
from cluster.cli import foreground, live, output, say, shared
from cluster.client import resume, saving
from cluster.client import source as sources
from splitters.spool import Sent


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
@shared.follow
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@shared.broker
def command(
    run: str, inputs: tuple[str, ...], target: str | None, format_name: str, drawn: Path | None,
    report: Path | None, save: Path | None, follow: bool, quiet: bool, broker: str | None,
) -> int:  # fmt: skip
    """Continue RUN, which is paused or whose submitter is gone, and print its result.

    INPUT is what the run was submitted with; what was read of it before is not done again. It is not needed
    where all of it was read: `cluster status RUN` says so. If RUN is done by now its result is printed, as by
    `cluster result`.
    """
    with foreground.terminable(), client.of_run(run, broker) as c:
        status = c.run(run).status()
        if status.paused and status.coordinator and status.role == "splitter":  # it is waited for there
            c.run(run).go_on()
            say(f"{run}: goes on with {logs.plain(status.coordinator)}")
            return 0
        resume.require_possible(status, has_input=bool(inputs))
        job = resume.job_of(c, status)
        if follow:
            live.require_lines(job)
        to = output.prepare(job, format_name, status.options, target, drawn, inputs, status.started_at, report)
        if save is None and (told := saving.left_out(job, status)):
            say(told)
        given = sources.typed(inputs) if inputs else None
        if isinstance(given, Sent):
            resume.leave_lost_redis(c)
        taken_up = resume.take_up(c, status, given, background=False, save=save)
        return foreground.to_end(c, taken_up, to, quiet=quiet, follow=follow)
