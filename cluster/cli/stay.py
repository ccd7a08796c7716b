"""Stay until this process is told to end: what `up` and `web` do, which have a cluster of their own."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import redis

from cluster.cli import foreground, say, texts
from cluster.client.own_cluster import OwnCluster

CONFIRM_S = 10.0
"""Within this time a second Ctrl-C means the first one."""
LOOK_S = 0.5
MOST_TOLD = 5


def listen_to_signals() -> None:
    """Have SIGTERM and a closed terminal end this process like Ctrl-C does; ``until_ended`` tells them apart."""
    foreground.catch(_leave, signal.SIGTERM, signal.SIGHUP)


def until_ended(own: OwnCluster, again: str, look: Callable[[], None] = lambda: None) -> None:
    """Stay until this process is told to end, by a person at a terminal twice where runs would go with the cluster.

    Args:
        own: The cluster that ends afterwards.
        again: The command that starts it again with its runs; "" where nothing is kept.
        look: Called twice a second; what it raises ends this, too.

    Raises:
        KeyboardInterrupt: It was told.
        errors.BrokerError: The Redis has ended.
    """
    asked_at = -math.inf
    while True:
        try:
            own.check()
            if news := own.worker_news():
                say(f"the worker of this machine has ended ({news}); the cluster goes on")
            look()
            time.sleep(LOOK_S)
        except KeyboardInterrupt as wish:
            if not (going := _going(own)):
                raise
            if again:
                say(f"{going}: this goes on when `{again}` is started again")
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


def _going(own: OwnCluster) -> str:
    """The runs that are not over, in words; "" for none, and where Redis does not tell."""
    try:
        running = own.going()
    except redis.RedisError:
        return ""
    told = ", ".join(f"{run.run} ({texts.items(run)})" for run in running[:MOST_TOLD])
    return f"{told} and {len(running) - MOST_TOLD} more" if len(running) > MOST_TOLD else told


def _leave(number: int, _: Any) -> None:
    raise KeyboardInterrupt(number)
