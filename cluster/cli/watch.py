"""``cluster submit --watch``: a run for each round of new files in a folder, until Ctrl-C."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest

import redis

from cluster import errors, logs
from cluster.cli import foreground, say
from cluster.client.standing_still import STILL_S, StandingStill

EVERY_S = 10.0


def go(look: Callable[[StandingStill], object], every_s: float, inputs: Sequence[str]) -> int:
    """Look at the input again and again; gives the exit code, 0, once Ctrl-C ends it.

    Args:
        look: Reads the new files that stand still, as one run.
        every_s: Seconds between two looks; fewer where a file was not yet seen to stand still.
        inputs: The folders, for people.

    An error of one round, as a Redis that is away or a folder that is not there for now, is told once and ends nothing.
    """
    say(f"watching {', '.join(inputs)} for new files, every {every_s:g} s; Ctrl-C ends it")
    still, told = StandingStill(), ""

    def leave(*_: object) -> None:
        foreground.ending.set()
        raise KeyboardInterrupt

    before = foreground.catch(leave, signal.SIGINT)
    try:
        while not foreground.ending.is_set():
            why = _failure(look, still)
            if why and why != told:
                say(f"this round failed, and others follow: {why}")
            told = why
            time.sleep(min(every_s, STILL_S) if still.is_waiting else every_s)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        foreground.ending.clear()
    say("the watch is ended")
    return 0


def _failure(look: Callable[[StandingStill], object], still: StandingStill) -> str:
    """Why a round failed, or ""."""
    try:
        look(still)
    except (errors.ClusterError, redis.RedisError, OSError) as error:
        return logs.of_error(str(error))
    return ""


def with_number(args: Sequence[str]) -> list[str]:
    """The arguments, with the usual number after a ``--watch`` without one."""
    given = []
    for word, following in zip_longest(args, args[1:], fillvalue=""):
        bare = word == "--watch" and not re.fullmatch(r"\d+(\.\d*)?", following)
        given.append(f"--watch={EVERY_S:g}" if bare else word)
    return given
