"""``cluster submit``."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cluster import catalog, client, errors, logs, names
from cluster.cli import foreground, kept_cluster, live, print_text, say, shared, texts, watch
from cluster.cli import output as outputs
from cluster.cli.job_command import JobCommand
from cluster.client import Client, begun, machine, origin
from cluster.client.nodes import join_line, rejections
from cluster.client.run import Status
from cluster.client.source import Given
from cluster.client.submission import UNUSABLE, Submission
from cluster.job import Job

if TYPE_CHECKING:
    from cluster.cli.new_files import Go
    from cluster.client.standing_still import StandingStill

    Act = Callable[[Submission, outputs.Target, Go], int]


class SubmitCommand(JobCommand):
    """Takes ``--watch`` with a number and without."""

    def about(self, job: Job) -> list[str]:
        """Sentences about a job, for the help."""
        able = ", ".join(job.formats_to_add_to)
        return [
            *super().about(job),
            *([f"Formats that --only-new, --watch and --retry-failed add to: {able}."] if able else []),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a bare ``--watch`` its number: what follows it may be a folder."""
        return super().parse_args(ctx, watch.with_number(args))


@click.command(
    "submit",
    cls=SubmitCommand,
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
@shared.follow
@click.option("--anew", is_flag=True, help="Begin a run of its own, also where this command was stopped before.")
@click.option("--detach", is_flag=True, help="Print the run's id and continue in the background.")
@click.option(
    "--if-no-node",
    type=click.Choice(["wait", "fail"]),
    default="wait",
    show_default=True,
    help="What to do when no node of the cluster can do the job.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--plan", is_flag=True, help="Print the rounds or sub-models that a run would make, and make none.")
@click.option("--only-new", is_flag=True, help="Read the files whose results are not in the output yet.")
@click.option(
    "--watch",
    "watch_s",
    type=click.FloatRange(min=1),
    metavar="[SECONDS]",
    help="Look for new files again and again until Ctrl-C, every 10 seconds if not told otherwise.",
)
@click.option("--retry-failed", metavar="RUN", help="Read what is missing from RUN, and add it to the output.")
@click.option("--dry-run", is_flag=True, help="Print what the input holds, who would read it and how long; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print JSON, for scripts.")
@shared.broker
def command(
    inputs: tuple[str, ...], job_name: str, output: str | None, format_name: str, drawn: Path | None,
    report: Path | None, save: Path | None, detach: bool, if_no_node: str, quiet: bool, plan: bool,
    only_new: bool, watch_s: float | None, retry_failed: str | None, dry_run: bool, as_json: bool, broker: str | None,
    follow: bool, anew: bool, **given: Any,
) -> int:  # fmt: skip
    """Run a job on files and folders and print its result.

    Without a broker, a private cluster is started on this machine for the time of the run, also beside a `cluster web`.

    Ctrl-C pauses the run. The same command goes on with it, also after a kill or a restart of the machine; what was
    done is not done again.
    """
    _check_together(
        {"--detach": detach, "--plan": plan, "--only-new": only_new and not dry_run, "--watch": watch_s is not None,
         "--retry-failed": retry_failed, "--dry-run": dry_run}, as_json,
    )  # fmt: skip
    job = catalog.get(job_name)
    options = {name: value for name, value in given.items() if value is not None}
    # `prepare` checks all this, too; here a mistake is told before a Redis that is away.
    job.check_options(options)
    if retry_failed is None:
        job.check_given(options)
    machine.require_model_can_be_made(job)
    if follow:
        _check_lines(job, output, format_name, detach=detach)
    if plan:
        print_text(job.plan_of(inputs, options))
        return 0
    quiet = quiet or watch_s is not None
    order = Order(
        job, inputs, output, format_name, drawn, report, save, if_no_node == "fail", quiet, broker, follow, anew
    )  # fmt: skip
    if only_new or watch_s is not None:
        order.check(options)
    if dry_run:
        return order.foresee(options, only_new=only_new, as_json=as_json)
    if watch_s is not None:
        return watch.go(functools.partial(order.look, options), watch_s, inputs)
    if only_new:
        from cluster.cli import new_files

        tried = set[str]()
        code = order.goes_on(options, tried)
        return max(code, order.does(functools.partial(new_files.submit, tried=tried), options))
    c = client.connect(broker)
    if retry_failed is not None:
        from cluster.cli import new_files
        from cluster.client import missing_items

        missing = missing_items.of_run(c, retry_failed)
        return order.does(functools.partial(new_files.retry, missing=missing), missing.with_options(job, options), c)
    if detach:
        with c.prepare(job, options, save, format_name) as submission:
            if not c.is_private:
                _look_for_nodes(submission, fail=order.must_have_node)
            return _detach(submission, inputs, output, format_name, drawn, report, anew=anew)
    return order.does(lambda _, to, go: go(inputs, to), options, c)


def _check_together(given: Mapping[str, object], as_json: bool) -> None:
    """See that one of these options is given at most.

    Raises:
        errors.UsageError: There are more.
    """
    both = [flag for flag, value in given.items() if value]
    if len(both) > 1:
        raise errors.UsageError(f"{both[0]} and {both[1]} do not go together: leave out one")
    if as_json and both != ["--dry-run"]:
        raise errors.UsageError("--json goes with --dry-run; for a result there is --format json")


def _check_lines(job: Job, output: str | None, format_name: str, *, detach: bool) -> None:
    """See that a run can be followed on stdout.

    Raises:
        errors.UsageError: It cannot.
    """
    live.require_lines(job)
    if detach:
        raise errors.UsageError(
            "--follow prints here what is done, and --detach leaves this terminal: give one of them"
        )
    if output is None and format_name not in ("json", "jsonl"):
        raise errors.UsageError(
            f"--follow prints JSON lines on stdout: name a place for --format {format_name} with -o"
        )


class Order(NamedTuple):
    """What was typed."""

    job: Job
    inputs: tuple[str, ...]
    output: str | None
    format_name: str
    drawn: Path | None
    report: Path | None
    save: Path | None
    must_have_node: bool
    quiet: bool
    broker: str | None
    follow: bool = False
    anew: bool = False

    def does(self, act: Act, options: Mapping[str, Any], c: Client | None = None) -> int:
        """Prepare a run and have ``act`` do it; gives the exit code."""
        c = c or client.connect(self.broker)
        with c.prepare(self.job, dict(options), self.save, self.format_name) as submission:

            def go(source: Given, to: outputs.Target) -> int:
                if not submission.client.is_private:
                    _look_for_nodes(submission, fail=self.must_have_node)
                return _submit(submission, source, to, quiet=self.quiet, follow=self.follow, anew=self.anew)

            return act(submission, self.target(submission.options), go)

    def goes_on(self, options: Mapping[str, Any], tried: set[str] | None = None) -> int:
        """Go on with what --only-new has begun, where it was stopped; gives the exit code, and ``tried`` its files."""
        from cluster.cli import new_files

        return 0 if self.anew else self.does(functools.partial(new_files.go_on, tried=tried), options)

    def look(self, options: Mapping[str, Any], still: StandingStill) -> None:
        """Read the new files that stand still; first go on with what was stopped."""
        from cluster.cli import new_files

        if not still.has_gone_on:
            self.goes_on(options)
            still.has_gone_on = True
        self.does(functools.partial(new_files.look, still=still), options)

    def target(self, options: Mapping[str, Any]) -> outputs.Target:
        """Where the result goes."""
        return outputs.prepare(
            self.job, self.format_name, options, self.output, self.drawn, self.inputs, reported=self.report
        )  # fmt: skip

    def foresee(self, options: Mapping[str, Any], *, only_new: bool, as_json: bool) -> int:
        """Print what the run would do; gives the exit code."""
        from cluster.cli import dry_run, new_files

        c = client.connect(self.broker)
        with c.prepare(self.job, dict(options), self.save, self.format_name) as submission:
            if not only_new:
                return dry_run.show(submission, self.inputs, known=None, as_json=as_json)
            source, known = new_files.foreseen(submission, self.target(submission.options))
            return dry_run.show(submission, source, known=known, as_json=as_json)

    def check(self, options: Mapping[str, Any]) -> None:
        """See that results can be added to the output, without asking a cluster.

        Raises:
            errors.UsageError: They cannot.
        """
        from cluster.client import only_new

        given = self.job.options_of_run(self.job.options_for(self.format_name, dict(options)))
        only_new.require_possible(self.job, self.format_name, self.target(given).output)


def _look_for_nodes(submission: Submission, *, fail: bool) -> None:
    """Say at once when nobody is there to do the job, and what they lack.

    Raises:
        errors.JobUnavailable: With ``fail``.
    """
    requirement = submission.requirement
    told = names.Capability.parse(requirement).told

    def tell(pending: Sequence[str]) -> None:
        say(f"waiting for {logs.plain(', '.join(pending))}: what {told} needs is being fetched")

    answer = submission.look_for_nodes(tell, to_the_end=fail)
    if answer is None or answer.can:
        return
    count = texts.count(len(answer.online), "node")
    problem = f"no node of this cluster can do the job {told} ({count} online; `cluster nodes` lists their jobs)"
    reasons = rejections(requirement, answer.online)
    problem += "".join(f"\n  {logs.plain(name)}: {logs.plain(why)}" for name, why in reasons.items())
    older = submission.client.older_nodes()
    problem += "".join(f"\n  {logs.plain(name)}: {what}" for name, what in older.items())
    if any(why.startswith(UNUSABLE) for why in reasons.values()):
        raise errors.JobUnavailable(f"{problem}\nmend the bundle and push it again")
    if fail:
        raise errors.JobUnavailable(problem)
    say(
        f"{problem}; waiting for one (with --if-no-node fail this ends instead)."
        f" On a machine that should help: {join_line(submission.client.config)}"
    )


def _submit(
    submission: Submission, inputs: Given, to: outputs.Target, *, quiet: bool, follow: bool = False, anew: bool = False
) -> int:  # fmt: skip
    given = submission.read(inputs)
    submission.origin = origin.of(submission, inputs, to.output, to.name, kept=to.keeper is not None)
    c = submission.client
    if c.is_private and not quiet and sys.stderr.isatty():
        kept_cluster.tell_private(c.config)
    with foreground.terminable(), c:
        run = begun.run_of(submission, given, say, _tell_begun, anew=anew)
        return foreground.to_end(c, run, to, quiet=quiet, follow=follow)


def _tell_begun(status: Status) -> None:
    say(f"goes on with {status.run}: {texts.items(status)}")


def _detach(
    submission: Submission, inputs: tuple[str, ...], target: str | None, format_name: str, drawn: Path | None,
    report: Path | None, *, anew: bool,
) -> int:  # fmt: skip
    """Check all that can be checked, open the run, and leave it to a process in the background."""
    job, options = submission.job, submission.options
    submission.require_it_stays()
    job.writer(format_name, options)
    to = outputs.prepare(job, format_name if target else "json", options, target, drawn, inputs, reported=report)
    submission.origin = origin.of(submission, inputs, to.output, to.name)
    arguments = ["--output", target or os.devnull, "--format", format_name if target else "json"]
    arguments += ["--annotate", str(drawn)] if drawn else []
    arguments += ["--report", str(report)] if report else []
    with submission.client as c:
        found = begun.find(submission, say, anew=anew)
        if found:
            _tell_begun(c.run(found).status(failures=False))
        run, log = submission.detach(inputs, arguments, begun=found or "")
    print_text(run.id)
    say(f"follow it with `cluster status {run.id}`, its log is {log}")
    return 0
