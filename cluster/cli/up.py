"""``cluster up``."""

from __future__ import annotations

import math
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import redis

from cluster import addresses, catalog, client
from cluster.cli import foreground, print_text, say, shared, texts
from cluster.client import Client
from cluster.embedded import LOOPBACK, LocalCluster, hub

STOP_GRACE_S = 10.0
CONFIRM_S = 10.0
"""Within this time a second Ctrl-C means the first one."""
MOST_RUNS, MOST_TOLD = 100, 5


@click.command(
    "up",
    epilog="\b\nExamples:\n"
    "  cluster up                   # for this machine\n"
    "  cluster up --host 0.0.0.0    # for every machine that reaches this one and knows the password\n"
    "  cluster up --host 0.0.0.0 --data ~/hub    # the same one again when this machine was restarted",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="IPv4 address or name to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of its Redis; 0: any free one.")
@click.option(
    "--data",
    type=shared.PATH,
    metavar="DIR",
    help="Keep port, password and runs in this folder: started with it again, it is the same cluster.",
)
@click.option("--no-worker", is_flag=True, help="Start the Redis only: this machine takes no work.")
def command(host: str, port: int, data: Path | None, no_worker: bool) -> None:
    """Start a cluster on this machine and keep it until Ctrl-C.

    Prints the line with which another terminal or machine joins. Its Redis has a random password and
    keeps nothing on disk: with the cluster, its runs are gone, unless they are kept with --data. It is a
    `cluster master`, too. Without --data, Ctrl-C must be pressed twice during a run.
    """
    foreground.catch(_leave, signal.SIGTERM, signal.SIGHUP)
    with ExitStack() as held:
        kept = held.enter_context(hub.opened(data)) if data else None
        local = held.enter_context(LocalCluster(host, port, grace_s=STOP_GRACE_S, kept=kept))
        if not no_worker:
            local.start_worker()
        print_text(f"export CLUSTER_BROKER_URL={local.url_at(addresses.reachable(host))}")
        sys.stdout.flush()
        say(
            "\nWith this line in another terminal:\n"
            "  cluster submit --job ocr ./scans     runs on this cluster\n"
            "  cluster worker                       adds a worker\n"
            "Ctrl-C ends it."
        )
        for job, problem in catalog.abilities().items():
            if problem and not no_worker:
                say(catalog.left_out(job, problem))
        if host == LOOPBACK:
            say("For other machines to join, start it with --host 0.0.0.0.")
        c = client.existing(local.url)
        try:
            with c.master(patient=False):
                _stay(local, c, data)
        except KeyboardInterrupt:
            say("ending the cluster")


def _stay(local: LocalCluster, c: Client, data: Path | None) -> None:
    """Stay until this process is told to end, by a person at a terminal twice where runs would go with the cluster.

    Raises:
        KeyboardInterrupt: It was.
        errors.BrokerError: The Redis has ended.
    """
    asked_at = -math.inf
    while True:
        try:
            local.check(needed=["redis"])
            if news := local.worker_news():
                say(f"the worker of this machine has ended ({news}); the cluster goes on")
            time.sleep(0.5)
        except KeyboardInterrupt as wish:
            if not (going := _going(c)):
                raise
            if data:
                say(f"{going}: this goes on when `cluster up --data {data}` is started again")
                raise
            is_ctrl_c = not wish.args and sys.stdin.isatty()
            if not is_ctrl_c or time.monotonic() - asked_at < CONFIRM_S:
                say(f"{going}: this is lost with the cluster")
                raise
            asked_at = time.monotonic()
            say(
                f"{going}: this is lost with the cluster. Ctrl-C again within {CONFIRM_S:.0f} s ends it all the same"
                " (`cluster up --data DIR` keeps runs)"
            )


def _going(c: Client) -> str:
    """The runs that are not over, in words; "" for none, and where Redis does not tell."""
    try:
        running = [run for run in c.runs(MOST_RUNS) if run.state == "running"]
    except redis.RedisError:
        return ""
    told = ", ".join(f"{run.run} ({texts.items(run)})" for run in running[:MOST_TOLD])
    return f"{told} and {len(running) - MOST_TOLD} more" if len(running) > MOST_TOLD else told


def _leave(number: int, _: Any) -> None:
    raise KeyboardInterrupt(number)
