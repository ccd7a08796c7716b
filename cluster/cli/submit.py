"""``cluster submit``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from cluster import catalog, errors, placement, redis_client, runs, session, settings
from cluster.cli import foreground, output, shared
from cluster.job import Job, Option
from cluster.runs import coordinate
from cluster.settings import Settings


class Submit(click.Command):
    """Has the options of the job that ``--job`` names besides its own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, and those of the job."""
        job: Job | None = ctx.meta.get("job")
        extra = [_parameter(option) for option in (*job.options, job.chunk_size)] if job else []
        return [*super().get_params(ctx), *extra]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look for the job first: what else may stand there depends on it."""
        for word, following in zip(args, [*args[1:], None], strict=True):
            name = None
            if word in ("--job", "-j"):
                name = following
            elif word.startswith("--job="):
                name = word.removeprefix("--job=")
            elif word.startswith("-j") and not word.startswith("--"):
                name = word[2:]
            if name is not None:
                ctx.meta["job"] = catalog.get(name)
        return super().parse_args(ctx, args)


@click.command(
    "submit",
    cls=Submit,
    epilog="\b\nExamples:\n"
    "  cluster submit --job ocr ./scans -o texts.json\n"
    "  cluster submit --job ocr --lang deu ./scans --format text-folder -o texts/\n"
    "  cluster submit --job wordcount --top 20 ./books\n"
    "  cluster submit --job ocr ./scans --broker redis://:password@host:6379/0 --detach\n\n"
    "Exit codes: 0 all done, 2 wrong use, 3 finished with items missing, 4 no Redis, 5 failed or cancelled,"
    " 6 no machine can do the job, 130 stopped by Ctrl-C.",
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-j", "--job", "job_name", required=True, metavar="NAME", help="What to do: see `cluster jobs`.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the result there, not to stdout.")
@click.option("--format", "format_name", default="json", show_default=True, help="How to write the result.")
@click.option("--detach", is_flag=True, help="Print the run's id and go on in the background.")
@click.option(
    "--if-no-node",
    type=click.Choice(["wait", "fail"]),
    default="wait",
    show_default=True,
    help="What to do when no node of the cluster can do the job.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@shared.broker
def command(
    inputs: tuple[str, ...], job_name: str, output: Path | None, format_name: str,
    detach: bool, if_no_node: str, quiet: bool, broker: str | None, **given: Any,
) -> int:  # fmt: skip
    """Run a job on files and folders and print its result.

    Without a broker, a private cluster is started on this machine for the time of the run. The
    options of a job stand in `cluster submit --job NAME --help`.
    """
    job = catalog.get(job_name)
    options = job.check_options({name: value for name, value in given.items() if value is not None})
    config = settings.load(broker_url=broker)
    if config.broker_url is not None:
        _look_for_nodes(config, job, fail=if_no_node == "fail")
    if detach:
        return _detach(config, job, inputs, options, output, format_name)
    return _submit(config, job, inputs, options, output, format_name, quiet=quiet)


def _look_for_nodes(config: Settings, job: Job, *, fail: bool) -> None:
    """Say at once when nobody is there to do the job.

    Raises:
        errors.JobUnavailable: With ``fail``.
    """
    redis_client.check(config.require_broker())
    online = [node for node in runs.connect(config).nodes.nodes() if node.state == "online"]
    if any(job.label in node.jobs for node in online):
        return
    count = f"{len(online)} node{'' if len(online) == 1 else 's'} online"
    problem = f"no node of this cluster can do the job {job.label} ({count}; `cluster nodes` lists their jobs)"
    if fail:
        raise errors.JobUnavailable(problem)
    click.echo(f"{problem}; waiting for one. On a machine that should help: {foreground.join_line(config)}", err=True)


def _submit(
    config: Settings, job: Job, inputs: tuple[str, ...], options: dict[str, Any], target: Path | None,
    format_name: str, *, quiet: bool,
) -> int:  # fmt: skip
    chosen = output.prepare(job, format_name, options, target)
    given = session.Input(job, inputs, options)
    private = config.broker_url is None
    with foreground.terminable(), session.opened(config, job, options) as opened:
        run = opened.start(job, options)
        return foreground.to_end(opened, job, run, given, chosen, target, quiet=quiet, private=private)


def _detach(
    config: Settings, job: Job, inputs: tuple[str, ...], options: dict[str, Any], target: Path | None,
    format_name: str,
) -> int:  # fmt: skip
    """Check all that can be checked, open the run, and leave it to a process in the background."""
    if config.broker_url is None:
        raise errors.UsageError(
            "--detach needs a cluster that stays: start one with `cluster up`, or give --broker URL"
        )
    if target is None:
        job.writer(format_name, options)
    else:
        output.prepare(job, format_name, options, target)
    session.Input(job, inputs, options)
    logs = config.cache_folder / "runs"
    logs.mkdir(parents=True, exist_ok=True)
    with session.opened(config, job, options) as opened:
        run = opened.start(job, options)
        try:
            _spawn(config, run, inputs, logs / f"{run}.log", target, format_name)
        except BaseException:
            coordinate.cancel(run, opened.stores, "it could not be left to the background", "failed")
            raise
    click.echo(run)
    click.echo(f"follow it with `cluster status {run}`, its log is {logs / run}.log", err=True)
    return 0


def _spawn(
    config: Settings, run: str, inputs: tuple[str, ...], log: Path, target: Path | None, format_name: str
) -> None:  # fmt: skip
    command = [sys.executable, "-m", "cluster", "resume", run]
    command += ["--output", str(target or os.devnull), "--format", format_name if target else "json"]
    with log.open("ab") as stream:
        subprocess.Popen(
            [*command, "--", *inputs],
            env={**os.environ, **placement.for_child(), "CLUSTER_BROKER_URL": config.require_broker()},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def _parameter(option: Option) -> click.Option:
    help_text = option.help if option.default is None else f"{option.help}  [default: {option.default}]"
    if option.type is bool:
        return click.Option([f"{option.flag}/--no-{option.flag[2:]}", option.name], default=None, help=help_text)
    kind: Any = option.type
    if option.type in (int, float) and (option.minimum is not None or option.maximum is not None):
        ranged = click.IntRange if option.type is int else click.FloatRange
        kind = ranged(min=option.minimum, max=option.maximum)  # type: ignore[arg-type]
    return click.Option([option.flag, option.name], type=kind, default=None, help=help_text)
