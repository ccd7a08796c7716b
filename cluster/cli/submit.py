"""``cluster submit``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import redis

from cluster import catalog, errors, placement, redis_client, runs, session, settings
from cluster.cli import output, shared, texts
from cluster.cli.progress import Progress
from cluster.job import Job, Option
from cluster.runs import coordinate, parts
from cluster.session import Session
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
@click.option("--run", "run", hidden=True, help="Coordinate this run, which stands in the ledger already.")
@shared.broker
def command(
    inputs: tuple[str, ...], job_name: str, output: Path | None, format_name: str,
    detach: bool, if_no_node: str, quiet: bool, run: str | None, broker: str | None, **given: Any,
) -> int:  # fmt: skip
    """Run a job on files and folders and print its result.

    Without a broker, a private cluster is started on this machine for the time of the run. The
    options of a job stand in `cluster submit --job NAME --help`.
    """
    job = catalog.get(job_name)
    options = job.check_options({name: value for name, value in given.items() if value is not None})
    config = settings.load(broker_url=broker)
    if config.broker_url is not None and run is None:
        _look_for_nodes(config, job, fail=if_no_node == "fail")
    if detach:
        return _detach(config, job, inputs, options, output, format_name)
    try:
        return _submit(config, job, inputs, options, output, format_name, quiet=quiet, run=run)
    except errors.ClusterError as error:
        if run is not None:  # nobody else will ever end it
            coordinate.cancel(run, runs.connect(config), f"its background process failed: {error}", "failed")
        raise


def _look_for_nodes(config: Settings, job: Job, *, fail: bool) -> None:
    """Say at once when nobody is there to do the job.

    Raises:
        errors.JobUnavailable: With ``fail``.
    """
    redis_client.check(config.require_broker())
    online = [node for node in runs.connect(config).nodes.nodes() if node.state == "online"]
    if any(job.name in node.jobs for node in online):
        return
    count = f"{len(online)} node{'' if len(online) == 1 else 's'} online"
    problem = f"no node of this cluster can do the job {job.name} ({count}; `cluster nodes` lists their jobs)"
    if fail:
        raise errors.JobUnavailable(problem)
    click.echo(f"{problem}; waiting for one. On a machine that should help: {_join_line(config)}", err=True)


def _submit(
    config: Settings, job: Job, inputs: tuple[str, ...], options: dict[str, Any], target: Path | None,
    format_name: str, *, quiet: bool, run: str | None,
) -> int:  # fmt: skip
    chosen = output.prepare(job, format_name, options, target)
    chunks = session.first_chunk_read(job, inputs, options)
    with _terminable(), session.opened(config, job, options) as opened:
        run = run or opened.start(job, options)
        try:
            state = _watch(opened, config, job, run, inputs, chunks, quiet=quiet)
        except (KeyboardInterrupt, SystemExit):
            coordinate.cancel(run, opened.stores, "the submitter was stopped")
            click.echo(
                f"{run}: cancelled. To keep a run going without this terminal, submit it with --detach"
                " to a cluster that stays (`cluster up`).",
                err=True,
            )
            raise
        except Exception as error:
            with contextlib.suppress(redis.RedisError):
                coordinate.cancel(run, opened.stores, f"the submitter failed: {error}", "failed")
            raise
        return _conclude(opened, run, state, chosen, target)


def _watch(
    opened: Session, config: Settings, job: Job, run: str, inputs: tuple[str, ...], chunks: Iterator[Any],
    *, quiet: bool,
) -> str:  # fmt: skip
    hint = "" if config.broker_url is None else f"; on a machine that should help: {_join_line(config)}"
    ledger = opened.stores.ledger
    with Progress(lambda: ledger.status(run, failures=False), quiet=quiet, lonely_hint=hint) as progress:
        return opened.coordinate(job, run, inputs, chunks, progress)


def _conclude(opened: Session, run: str, state: str, chosen: Any, target: Path | None) -> int:
    """Write the result of a run that ended, and say how it went."""
    status = opened.stores.ledger.status(run)
    if state == "cancelled":
        raise errors.RunCancelled(f"the run {run} was cancelled: {status.error}")
    if state != "done":
        raise errors.RunFailed(f"the run {run} {state}: {status.error}")
    output.write(chosen, parts.of_run(run, opened.stores, opened.config.max_part_bytes), target)
    rate = status.items_settled / max(status.seconds, 0.001)
    nodes = f"{len(status.nodes)} node{'' if len(status.nodes) == 1 else 's'}"
    line = f"{run}: {texts.items(status)} in {texts.duration(status.seconds)} ({rate:.1f}/s) on {nodes}"
    click.echo("\n".join([line, *texts.failures(status)]), err=True)
    return errors.ITEMS_MISSING_EXIT_CODE if status.items_failed else 0


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
    session.first_chunk_read(job, inputs, options)
    logs = config.cache_folder / "runs"
    logs.mkdir(parents=True, exist_ok=True)
    with session.opened(config, job, options) as opened:
        run = opened.start(job, options)
        try:
            _spawn(config, job, run, inputs, options, logs / f"{run}.log", target, format_name)
        except BaseException:
            coordinate.cancel(run, opened.stores, "it could not be left to the background", "failed")
            raise
    click.echo(run)
    click.echo(f"follow it with `cluster status {run}`, its log is {logs / run}.log", err=True)
    return 0


def _spawn(
    config: Settings, job: Job, run: str, inputs: tuple[str, ...], options: dict[str, Any], log: Path,
    target: Path | None, format_name: str,
) -> None:  # fmt: skip
    command = [sys.executable, "-m", "cluster", "submit", "--job", job.name, "--run", run]
    for option in (*job.options, job.chunk_size):
        value = options[option.name]
        if option.type is bool:
            command.append(option.flag if value else f"--no-{option.flag[2:]}")
        elif value is not None:
            command.append(f"{option.flag}={value}")
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


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind us like Ctrl-C does, so that all we started is ended."""

    def leave(number: int, _: Any) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parameter(option: Option) -> click.Option:
    help_text = option.help if option.default is None else f"{option.help}  [default: {option.default}]"
    if option.type is bool:
        return click.Option([f"{option.flag}/--no-{option.flag[2:]}", option.name], default=None, help=help_text)
    kind: Any = option.type
    if option.type in (int, float) and (option.minimum is not None or option.maximum is not None):
        ranged = click.IntRange if option.type is int else click.FloatRange
        kind = ranged(min=option.minimum, max=option.maximum)  # type: ignore[arg-type]
    return click.Option([option.flag, option.name], type=kind, default=None, help=help_text)


def _join_line(config: Settings) -> str:
    return f"CLUSTER_BROKER_URL={redis_client.masked(config.require_broker())} celery -A cluster worker"
