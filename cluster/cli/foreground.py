"""Coordinate a run while its user watches, and write the result: what `submit` and `resume` do."""

from __future__ import annotations

import contextlib
import secrets
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from aggregators import by_name
from cluster import errors, logs, redis_client
from cluster.cli import say, texts
from cluster.cli.output import Target
from cluster.cli.progress import Progress
from cluster.client import session
from cluster.client.session import Input, Session
from cluster.job import Job
from cluster.runs.cancel import cancel
from cluster.runs.status import Status
from cluster.settings import DEFAULT_MASTER, Settings

_signals: list[int] = []
"""The signals that told this process to end."""


def to_end(
    opened: Session, job: Job, run: str, given: Input | None, to: Target, *, quiet: bool, private: bool
) -> int:  # fmt: skip
    """Bring a run to its end and write its result.

    Ctrl-C cancels it. SIGTERM and a closed terminal leave it to others, unless the cluster is ``private`` and ends.
    """
    hint = "" if private else f"; on a machine that should help: {join_line(opened.config)}"
    ledger = opened.stores.ledger
    try:
        nodes = opened.stores.nodes.nodes
        shown = Progress(lambda: ledger.status(run, failures=False), nodes, quiet=quiet, lonely_hint=hint)
        with _signal_first(), shown as progress:
            state = opened.coordinate(job, run, given, progress)
    except (KeyboardInterrupt, SystemExit) as error:
        if private or isinstance(error, KeyboardInterrupt):
            _cancel(opened, run)
        else:
            with contextlib.suppress(redis.RedisError):
                line = texts.resume(ledger.status(run, failures=False))
                say(f"{run}: left to others. To take it up again: {line}")
        raise
    return _conclude(opened, job, run, state, to, private=private)


def _cancel(opened: Session, run: str) -> None:
    try:
        found = opened.stores.ledger.status(run, failures=False)
        if found.role == "splitter" and found.coordinator != session.whoami():
            say(f"{run}: goes on with {logs.plain(str(found.coordinator))}. To cancel it: cluster cancel {run}")
            return
        cancel(run, opened.stores, "the submitter was stopped")
    except redis.RedisError as error:
        say(f"{run}: not cancelled, as Redis does not answer ({logs.plain(str(error))}): cluster cancel {run}")
        return
    say(
        f"{run}: cancelled. To keep a run going without this terminal, submit it with --detach"
        " to a cluster that stays (`cluster up`)."
    )


def join_line(config: Settings) -> str:
    """What to type on a machine that should help."""
    url = config.given_broker()
    is_other = url.startswith(redis_client.SENTINEL) and config.sentinel_master != DEFAULT_MASTER
    master = f"CLUSTER_SENTINEL_MASTER={config.sentinel_master} " if is_other else ""
    shown = redis_client.masked(url)
    hidden = "" if shown == url else " (for *** the password, as in the line that `cluster up` printed)"
    return f"{master}CLUSTER_BROKER_URL='{shown}' cluster worker{hidden}"


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind us like Ctrl-C does, so that all we started is ended.

    Started with ``nohup``, a closed terminal is no reason. From the first of them on nobody of this process waits
    for a Redis that is away.
    """

    def leave(number: int, _: Any) -> None:
        redis_client.given_up.set()
        _signals.append(number)
        raise _ending(number)

    before = catch(leave, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        with _signal_first():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        redis_client.given_up.clear()
        _signals.clear()


@contextmanager
def _signal_first() -> Iterator[None]:
    """Replace an error of a Redis that is away by the signal that came before it.

    After a signal this process waits for Redis no more, so the clean-up can fail on it and hide the signal.
    """
    try:
        yield
    except (redis.RedisError, errors.BrokerError) as error:
        if not _signals:
            raise
        raise _ending(_signals[0]) from error


def _ending(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


def catch(handler: Callable[[int, Any], None], *numbers: signal.Signals) -> dict[signal.Signals, Any]:
    """Handle signals, but for SIGHUP where we were started with ``nohup``; gives the handlers they had."""
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    return {number: signal.signal(number, handler) for number in numbers if number not in ignored}


def _keep_missing(opened: Session, status: Status) -> str:
    """Write down all that is missing, as the cluster that knows it ends with us; gives where, or ""."""
    told = "".join(f"{logs.plain(failure.item)}: {logs.plain(failure.reason)}\n" for failure in status.failures)
    for folder in _places(opened):
        file = folder / f"{status.run}.missing.txt"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            by_name.put(folder, file, file.with_name(f".cluster-draft-{secrets.token_hex(4)}.part"), told.encode())
            return str(file)
    return ""


def _places(opened: Session) -> tuple[Path, ...]:
    """Folders for what would be lost otherwise, the best one first."""
    return opened.config.cache_folder / "runs", Path(tempfile.gettempdir())


def _rescue(opened: Session, job: Job, status: Status, to: Target) -> None:
    """Keep a result that cannot be where it should: the cluster that has it ends with us."""
    for folder in _places(opened):
        file = folder / f"{status.run}.json"
        with contextlib.suppress(OSError, errors.ClusterError, redis.RedisError):  # what came first is told
            folder.mkdir(parents=True, exist_ok=True)
            kept = to._replace(chosen=job.writer("json", status.options), output=file, drawn=None)
            kept.write(job, status, opened.stores, opened.config)
            say(f"{status.run} is done, and its result is in {logs.plain(str(file))}")
            return


def _conclude(opened: Session, job: Job, run: str, state: str, to: Target, *, private: bool) -> int:
    """Write the result of a run that ended, and say how it went."""
    status = opened.stores.ledger.status(run)
    if state == "cancelled":
        raise errors.RunCancelled(f"the run {run} was cancelled: {logs.plain(status.error or '')}")
    if state != "done":
        raise errors.RunFailed(f"the run {run} {state}: {logs.plain(status.error or '')}")
    rate = status.items_settled / max(status.seconds, 0.001)
    nodes = texts.count(len(status.nodes), "node")
    told = [f"{run}: {texts.items(status)} in {texts.duration(status.seconds)} ({rate:.1f}/s) on {nodes}"]
    rest = _keep_missing(opened, status) if private and len(status.failures) > texts.MOST_FAILURES else ""
    told += texts.missing(status, rest)
    try:
        problems = to.write(job, status, opened.stores, opened.config)
    except (KeyboardInterrupt, SystemExit, OSError, errors.ClusterError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        say("\n".join(told))  # that the result cannot be written hides nothing that is missing
        if private and isinstance(error, OSError | errors.ClusterError) and not job.trains:
            _rescue(opened, job, status, to)
        elif not private and not isinstance(error, errors.RunFailed):  # else it can be had nowhere
            say(f"{run} is done, and its result is kept: cluster result {run}")
        raise
    say("\n".join([*told, *map(logs.plain, problems)]))
    return errors.ITEMS_MISSING_EXIT_CODE if status.items_failed or problems else 0
