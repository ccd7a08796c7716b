"""``cluster runs``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from cluster import client, errors, logs, settings
from cluster.cli import kept_cluster, print_text, say, shared, texts
from cluster.client import private_runs
from cluster.client.private_runs import PrivateRun
from cluster.client.run import Status

Run = TypeVar("Run", Status, PrivateRun)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)([smhd])", value)
    if not found:
        raise click.BadParameter(f"{value!r} is no duration such as 90s, 30m, 12h or 7d")
    return float(found[1]) * SECONDS[found[2]]


@click.command(
    "runs",
    epilog="\b\nExamples:\n  cluster runs --json\n  cluster runs --prune --older-than 1d\n"
    "  cluster runs --prune ocr-1a2b3c4d",
)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@click.option("--prune", "to_prune", is_flag=True, help="Remove all runs that are over, or those named.")
@click.option(
    "--older-than",
    metavar="DURATION",
    callback=_seconds,
    help="With --prune: only those that ended at least this long ago: 30m, 12h, 7d.",
)
@click.option("-y", "--yes", is_flag=True, help="With --prune: do not ask.")
@shared.broker
@shared.as_json
def command(
    runs: tuple[str, ...], most: int, to_prune: bool, older_than: float | None, yes: bool, broker: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """List the runs of a cluster, newest first.

    Runs expire by themselves after a week. With --prune those that are done, failed or cancelled go now; one that
    is running stays. Name RUNs to remove these alone. What runs leave in a blob store of your own (CLUSTER_BLOB_URL)
    goes only with --prune.

    Without a broker: the private runs of this machine that were stopped, or go on now, with their age and size on disk;
    where there are none, those of the cluster that a `cluster web` keeps on this machine.
    """
    if not to_prune and (yes or older_than is not None or runs):
        raise errors.UsageError("RUN, --older-than and --yes go with --prune; `cluster status RUN` shows one")
    if settings.load(broker_url=broker).broker_url is None and (mine := private_runs.listed()):
        mine = _named(mine, runs, lambda run: run.about.run)
        _private(mine[:most], to_prune=to_prune, older_than=older_than or 0, yes=yes, as_json=as_json)
        return
    if not to_prune:
        c = client.existing(broker)
        _print(c.runs(most), as_json)
        for run, what in c.older_runs().items():
            say(f"{run}: {what}")
        return
    c = kept_cluster.acting(broker)
    found = _named(c.ended(older_than or 0), runs, lambda run: run.run)
    if found and not yes:
        _ask([_line(run) for run in found])
    _print(c.prune(found), as_json, "removed ")


def _named(found: Sequence[Run], runs: Sequence[str], name_of: Callable[[Run], str]) -> list[Run]:
    """Those of the runs that were named; all where none was."""
    known = {name_of(run) for run in found}
    if unknown := [run for run in runs if run not in known]:
        raise errors.UsageError(f"no run {logs.plain(unknown[0])!r} that is over; `cluster runs` lists them")
    return [run for run in found if not runs or name_of(run) in runs]


def _private(found: Sequence[PrivateRun], *, to_prune: bool, older_than: float, yes: bool, as_json: bool) -> None:
    if to_prune:
        now = time.time()
        found = [run for run in found if run.is_over and now - run.about.used_at >= older_than]
        if found and not yes:
            _ask([_private_line(run) for run in found])
        found = private_runs.remove(found)
    if as_json:
        shared.print_json([_private_json(run) for run in found])
        return
    for run in found:
        print_text(f"{'removed ' if to_prune else ''}{_private_line(run)}")
    if not found:
        say("nothing to remove")


def _private_json(run: PrivateRun) -> dict[str, Any]:
    about = {"run": run.about.run, "job": run.about.job, "state": _private_state(run)}
    status = run.status.model_dump(mode="json", exclude={"failures"}) if run.status else about
    on_disk = {name: getattr(run.about, name) for name in ("size_bytes", "begun_at", "used_at", "process")}
    return {**status, **on_disk, "problem": run.problem or None}


def _private_line(run: PrivateRun) -> str:
    about, status = run.about, run.status
    if about.process is not None:
        how = f"in use by the process {about.process}"
    else:
        how = logs.plain(run.problem) if status is None else texts.items(status)
    age = texts.duration(max(0.0, time.time() - about.begun_at))
    return f"{about.run:24} {_private_state(run):10} {how:36} {age:>10}  {texts.size(about.size_bytes):>10}"


def _private_state(run: PrivateRun) -> str:
    if run.status is None:
        return "damaged" if run.problem else "running"
    return "stopped" if texts.state(run.status) == "running" else texts.state(run.status)


def _ask(lines: Sequence[str]) -> None:
    runs = texts.count(len(lines), "run")
    if not sys.stdin.isatty():
        raise errors.UsageError(f"--prune would remove {runs} with results; say so with --yes")
    for line in lines:
        say(line)
    click.confirm(f"Remove {runs} with results?", abort=True, err=True)


def _print(found: Sequence[Status], as_json: bool, before: str = "") -> None:
    if as_json:
        shared.print_json([run.model_dump(mode="json", exclude={"failures"}) for run in found])
        return
    for run in found:
        print_text(f"{before}{_line(run)}")
    if not found:
        say("nothing to remove" if before else "no runs yet")


def _line(run: Status) -> str:
    return (
        f"{run.run:24} {texts.state(run):10} {texts.items(run):36} {texts.duration(run.seconds):>10}"
        f"  {run.started_at.astimezone():%Y-%m-%d %H:%M}"
    )
