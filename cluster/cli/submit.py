"""``cluster submit``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from cluster import catalog, errors, logs, placement, redis_client, runs, settings
from cluster.bundles.trial import UNUSABLE
from cluster.cli import foreground, print_text, say, shared, texts
from cluster.cli import output as outputs
from cluster.cli.job_command import JobCommand
from cluster.client import session
from cluster.job import Job
from cluster.nodes.registry import PENDING, Node
from cluster.runs import Stores, demand
from cluster.runs.cancel import cancel
from cluster.settings import Settings

ANSWER_S = 5.0
"""How long nodes may take to say whether they can serve what they were not asked for before."""


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
@click.option("-j", "--job", "job_name", required=True, metavar="NAME", help="What to do: see `cluster jobs`.")
@click.option("-o", "--output", type=shared.OUTPUT, help="Write the result there, not to stdout (-).")
@click.option("--format", "format_name", default="json", show_default=True, help="How to write the result.")
@shared.annotate
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
    inputs: tuple[str, ...], job_name: str, output: str | None, format_name: str, drawn: Path | None,
    detach: bool, if_no_node: str, quiet: bool, broker: str | None, **given: Any,
) -> int:  # fmt: skip
    """Run a job on files and folders and print its result.

    Without a broker, a private cluster is started on this machine for the time of the run.
    """
    job = catalog.get(job_name)
    options = job.check_options({name: value for name, value in given.items() if value is not None})
    job.check_given(options)
    outputs.check_model_can_be_made(job)
    config = settings.load(broker_url=broker)
    if config.broker_url is not None:
        redis_client.check(config.require_broker())
    outputs.check_model_can_be_kept(job, config)
    options = session.pinned(config, job, options)
    with ExitStack() as asking:  # what it asks of the nodes ends once the run is open, or given up
        if config.broker_url is not None:
            stores = runs.connect(config, patient=False)
            asked = asking.enter_context(demand.Asked(stores.redis, job.label_with(options)))
            _look_for_nodes(config, stores, job, job.label_with(options), asked, fail=if_no_node == "fail")
        if detach:
            return _detach(config, job, inputs, options, output, format_name, drawn)
        to = outputs.prepare(job, format_name, options, output, drawn, inputs)
        return _submit(config, job, inputs, options, to, asking.close, quiet=quiet)


def _look_for_nodes(
    config: Settings, stores: Stores, job: Job, label: str, asked: demand.Asked, *, fail: bool
) -> None:  # fmt: skip
    """Say at once when nobody is there to do the job, and what they lack.

    Raises:
        errors.JobUnavailable: With ``fail``.
    """
    online = [node for node in stores.nodes.nodes() if node.state == "online"]
    if label != job.label and online and not _serving(online, label):
        online = _ask(stores, label, asked)
    if pending := _pending(online, label):
        say(f"waiting for {logs.plain(', '.join(pending))}: what {label} needs is being fetched")
        if not fail:
            return
        online = _ask(stores, label, asked, to_the_end=True)
    if _serving(online, label):
        return
    count = texts.count(len(online), "node")
    problem = f"no node of this cluster can do the job {label} ({count} online; `cluster nodes` lists their jobs)"
    reasons = {node.name: why for node in online if (why := node.why_not(label))}
    problem += "".join(f"\n  {logs.plain(name)}: {logs.plain(why)}" for name, why in reasons.items())
    if any(why.startswith(UNUSABLE) for why in reasons.values()):
        raise errors.JobUnavailable(f"{problem}\nmend the bundle and push it again")
    if fail:
        raise errors.JobUnavailable(problem)
    say(f"{problem}; waiting for one. On a machine that should help: {foreground.join_line(config)}")


def _serving(nodes: Iterable[Node], label: str) -> bool:
    return any(label in node.jobs for node in nodes)


def _pending(nodes: Iterable[Node], label: str) -> list[str]:
    """Who is still fetching what a label needs, where nobody serves it yet."""
    return [] if _serving(nodes, label) else [node.name for node in nodes if node.missing.get(label) == PENDING]


def _ask(stores: Stores, label: str, asked: demand.Asked, *, to_the_end: bool = False) -> list[Node]:
    """Have the nodes find out whether they can serve a label; those online, once all have said so or time is up.

    ``to_the_end`` waits, however long it takes, for those that are still fetching what they need.
    """
    deadline = time.monotonic() + ANSWER_S
    while True:
        asked.enter()
        online = [node for node in stores.nodes.nodes() if node.state == "online"]
        answered = all(node.has_answered(label) for node in online)
        over = answered or _serving(online, label) or time.monotonic() > deadline
        if over and not (to_the_end and _pending(online, label)):
            return online
        time.sleep(0.1)


def _submit(
    config: Settings, job: Job, inputs: tuple[str, ...], options: dict[str, Any], to: outputs.Target,
    on_open: Callable[[], object], *, quiet: bool,
) -> int:  # fmt: skip
    given = session.Input(job, inputs, options)
    private = config.broker_url is None
    if private and not quiet and sys.stderr.isatty():
        say("no broker is set (CLUSTER_BROKER_URL, --broker): on this machine only")
    with foreground.terminable(), session.opened(config, job, options) as opened:
        run = opened.start(job, options)
        on_open()
        return foreground.to_end(opened, job, run, given, to, quiet=quiet, private=private)


def _detach(
    config: Settings, job: Job, inputs: tuple[str, ...], options: dict[str, Any], target: str | None,
    format_name: str, drawn: Path | None,
) -> int:  # fmt: skip
    """Check all that can be checked, open the run, and leave it to a process in the background."""
    if config.broker_url is None:
        raise errors.UsageError(
            "--detach needs a cluster that stays: start one with `cluster up`, or give --broker URL"
        )
    job.writer(format_name, options)
    outputs.prepare(job, format_name if target else "json", options, target, drawn, inputs)
    session.Input(job, inputs, options)
    folder = config.cache_folder / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ClusterError(
            f"the log of a run in the background is to lie in {folder}: {error.strerror}; name another folder with"
            " CLUSTER_CACHE_DIR"
        ) from None
    with session.opened(config, job, options) as opened:
        run = opened.start(job, options)
        try:
            _spawn(config, run, inputs, folder / f"{run}.log", target, format_name, drawn)
        except BaseException:
            cancel(run, opened.stores, "it could not be left to the background", "failed")
            raise
    print_text(run)
    say(f"follow it with `cluster status {run}`, its log is {folder / run}.log")
    return 0


def _spawn(
    config: Settings, run: str, inputs: tuple[str, ...], log: Path, target: str | None, format_name: str,
    drawn: Path | None,
) -> None:  # fmt: skip
    command = [sys.executable, "-m", "cluster", "resume", run]
    command += ["--output", target or os.devnull, "--format", format_name if target else "json"]
    command += ["--annotate", str(drawn)] if drawn else []
    with log.open("ab") as stream:
        subprocess.Popen(
            [*command, "--", *inputs],
            env=placement.environment(CLUSTER_BROKER_URL=config.given_broker()),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
