"""``cluster submit``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cluster import catalog, client, errors, logs
from cluster.cli import foreground, print_text, say, shared, texts
from cluster.cli import output as outputs
from cluster.cli.job_command import JobCommand
from cluster.client import machine
from cluster.client.nodes import join_line, rejections
from cluster.client.submission import UNUSABLE, Submission


@click.command(
    "submit",
    cls=JobCommand,
    epilog="\b\nExamples:\n"
    "  cluster submit --job ocr ./scans -o texts.json\n"
    "  cluster submit --job ocr --lang deu ./scans --format text-folder -o texts/\n"
    "  cluster submit --job wordcount --top 20 ./books\n"
    "  cluster submit --job ocr ./scans --broker redis://:password@host:6379/0 --detach\n\n"
    "Exit codes: 0 all done, 2 wrong use, 3 finished with items missing, 4 no Redis, 5 failed or cancelled,"
    " 6 no machine can do the job, 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by a closed terminal, 1 anything else.",
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-j", "--job", "job_name", required=True, metavar="NAME", help="The job: see `cluster jobs`.")
@click.option("-o", "--output", type=shared.OUTPUT, help="Write the result there, not to stdout (-).")
@click.option("--format", "format_name", default="json", show_default=True, help="How to write the result.")
@shared.annotate
@shared.report
@shared.save
@click.option("--detach", is_flag=True, help="Print the run's id and continue in the background.")
@click.option(
    "--if-no-node",
    type=click.Choice(["wait", "fail"]),
    default="wait",
    show_default=True,
    help="What to do when no node of the cluster can do the job.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--plan", is_flag=True, help="Print what the run would do, and do nothing.")
@shared.broker
def command(
    inputs: tuple[str, ...], job_name: str, output: str | None, format_name: str, drawn: Path | None,
    report: Path | None, save: Path | None, detach: bool, if_no_node: str, quiet: bool, plan: bool,
    broker: str | None, **given: Any,
) -> int:  # fmt: skip
    """Run a job on files and folders and print its result.

    Without a broker, a private cluster is started on this machine for the time of the run.
    """
    job = catalog.get(job_name)
    options = {name: value for name, value in given.items() if value is not None}
    # `prepare` checks all this, too; here a mistake is told before a Redis that is away.
    job.check_options(options)
    job.check_given(options)
    machine.require_model_can_be_made(job)
    if plan:
        print_text(job.plan_of(inputs, options))
        return 0
    c = client.connect(broker)
    with c.prepare(job, options, save, format_name) as submission:
        if not c.is_private:
            _look_for_nodes(submission, fail=if_no_node == "fail")
        if detach:
            return _detach(submission, inputs, output, format_name, drawn, report)
        to = outputs.prepare(job, format_name, submission.options, output, drawn, inputs, reported=report)
        return _submit(submission, inputs, to, quiet=quiet)


def _look_for_nodes(submission: Submission, *, fail: bool) -> None:
    """Say at once when nobody is there to do the job, and what they lack.

    Raises:
        errors.JobUnavailable: With ``fail``.
    """
    requirement = submission.requirement

    def tell(pending: Sequence[str]) -> None:
        say(f"waiting for {logs.plain(', '.join(pending))}: what {requirement} needs is being fetched")

    answer = submission.look_for_nodes(tell, to_the_end=fail)
    if answer is None or answer.can:
        return
    count = texts.count(len(answer.online), "node")
    problem = f"no node of this cluster can do the job {requirement} ({count} online; `cluster nodes` lists their jobs)"
    reasons = rejections(requirement, answer.online)
    problem += "".join(f"\n  {logs.plain(name)}: {logs.plain(why)}" for name, why in reasons.items())
    older = submission.client.older_nodes()
    problem += "".join(f"\n  {logs.plain(name)}: {what}" for name, what in older.items())
    if any(why.startswith(UNUSABLE) for why in reasons.values()):
        raise errors.JobUnavailable(f"{problem}\nmend the bundle and push it again")
    if fail:
        raise errors.JobUnavailable(problem)
    say(f"{problem}; waiting for one. On a machine that should help: {join_line(submission.client.config)}")


def _submit(submission: Submission, inputs: tuple[str, ...], to: outputs.Target, *, quiet: bool) -> int:
    given = submission.read(inputs)
    c = submission.client
    if c.is_private and not quiet and sys.stderr.isatty():
        say("no broker is set (CLUSTER_BROKER_URL, --broker): on this machine only")
    with foreground.terminable(), c:
        return foreground.to_end(c, submission.start(given, background=False), to, quiet=quiet)


def _detach(
    submission: Submission, inputs: tuple[str, ...], target: str | None, format_name: str, drawn: Path | None,
    report: Path | None,
) -> int:  # fmt: skip
    """Check all that can be checked, open the run, and leave it to a process in the background."""
    job, options = submission.job, submission.options
    submission.require_it_stays()
    job.writer(format_name, options)
    outputs.prepare(job, format_name if target else "json", options, target, drawn, inputs, reported=report)
    arguments = ["--output", target or os.devnull, "--format", format_name if target else "json"]
    arguments += ["--annotate", str(drawn)] if drawn else []
    arguments += ["--report", str(report)] if report else []
    with submission.client:
        run, log = submission.detach(inputs, arguments)
    print_text(run.id)
    say(f"follow it with `cluster status {run.id}`, its log is {log}")
    return 0
