"""Coordinate a run while its user watches, and write the result: what `submit` and `resume` do."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from aggregators import by_name
from cluster import client, errors, logs
from cluster.cli import say, texts
from cluster.cli.live import Failed, Live
from cluster.cli.output import Target
from cluster.cli.progress import Progress
from cluster.client import Client, Run
from cluster.client.nodes import join_line
from cluster.client.result import require_done
from cluster.client.run import Status
from cluster.texts import worth_texts

_signals: list[int] = []
"""The signals that told this process to end."""
ending = threading.Event()
"""Set by the first of them, also where a library that was closing just then has swallowed what the signal raised."""


def to_end(c: Client, run: Run, to: Target, *, quiet: bool, follow: bool = False) -> int:
    """Bring a run to its end and write its result, while it goes on where its format can do that.

    Ctrl-C pauses it, and so does a writer that fails; one that goes in rounds is cancelled. SIGTERM and a closed
    terminal leave it to others. A private cluster ends in any case, and its run stays on disk.
    """
    hint = "" if c.is_private else f"; on a machine that should help: {join_line(c.config)}"
    with Live(run, to, follow=follow) as live:
        try:
            shown = Progress(lambda: run.status(failures=False), run.nodes, quiet=quiet, lonely_hint=hint)
            with _signal_first(), shown as progress:

                def look() -> None:
                    live.check()
                    progress()

                status = run.wait(on_wait=look)
        except Failed as failed:
            _stop(c, run, to)
            raise failed.error from None
        except (KeyboardInterrupt, SystemExit) as error:
            _stop(c, run, to, leave=isinstance(error, SystemExit))
            raise
        except (errors.ClusterError, redis.RedisError, OSError):
            if c.keeps:
                say(
                    f"{run.id}: what was done is kept. To go on: the same command; to drop it: `cluster cancel"
                    f" {run.id}`"
                )
            raise
        return _conclude(c, run, status, to, live)


def _stop(c: Client, run: Run, to: Target, *, leave: bool = False) -> None:
    """Pause a run, and say how to go on; with ``leave`` it goes on by itself, where its cluster stays."""
    goes_in_rounds = run.job.rounds is not None
    try:
        if leave and not c.is_private:
            say(f"{run.id}: left to others. To take it up again: {_to_go_on(run.status(failures=False), to)}")
        elif reader := run.other_reader:
            say(f"{run.id}: goes on with {logs.plain(reader)}. To cancel it: cluster cancel {run.id}")
        elif goes_in_rounds or (c.is_private and not c.keeps):
            with contextlib.suppress(errors.RunFailed, errors.UnknownRun):  # it has ended meanwhile
                run.cancel("the submitter was stopped")
            why = "" if goes_in_rounds else ", as nothing of it could be kept"
            say(f"{run.id}: cancelled{why}")
        else:
            with contextlib.suppress(errors.RunOver):  # it is done, and not written
                run.pause("the submitter was stopped")
            found = run.status(failures=False)
            say(f"{run.id}: paused, {texts.items(found)}. To go on: {_to_go_on(found, to)};"
                f" to drop it: `cluster cancel {run.id}`")  # fmt: skip
    except errors.UnknownRun:
        return
    except redis.RedisError as error:
        if not leave:
            what = "cancelled" if goes_in_rounds else "paused"
            say(f"{run.id}: not {what}, as Redis does not answer ({logs.plain(str(error))}): cluster cancel {run.id}")


def _to_go_on(found: Status, to: Target) -> str:
    """What to type to go on with a run. `cluster resume` adds nothing to what an output holds: it replaces that."""
    if to.keeper:
        return "the same command"
    place = "" if to.output is None else f" --format {to.name} -o {shlex.quote(str(to.output))}"
    return f"the same command, or `{texts.resume(found, has_source=to.chosen.source)}{logs.plain(place)}`"


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind us like Ctrl-C does, so that all we started is ended.

    Started with ``nohup``, a closed terminal is no reason. From the first of them on nobody of this process waits
    for a Redis that is away. A second Ctrl-C ends this process at once.
    """

    def leave(number: int, _: Any) -> None:
        client.given_up.set()
        if number == signal.SIGINT and number in _signals:
            os._exit(errors.INTERRUPTED_EXIT_CODE)  # the guard of a private cluster ends what we started
        _signals.append(number)
        ending.set()
        raise _ending(number)

    before = catch(leave, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        with _signal_first():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        client.given_up.clear()
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


def _keep_missing(c: Client, status: Status) -> str:
    """Write down all that is missing, as the cluster that knows it ends with us; gives where, or ""."""
    told = "".join(f"{logs.plain(failure.item)}: {logs.plain(failure.reason)}\n" for failure in status.failures)
    for folder in _places(c):
        file = folder / f"{status.run}.missing.txt"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            by_name.put(folder, file, file.with_name(f".cluster-draft-{secrets.token_hex(4)}.part"), told.encode())
            return str(file)
    return ""


def _places(c: Client) -> tuple[Path, ...]:
    """Folders for what would be lost otherwise, the best one first."""
    return c.config.cache_folder / "runs", Path(tempfile.gettempdir())


def _rescue(c: Client, run: Run, status: Status, to: Target) -> None:
    """Keep a result that cannot be where it should: the cluster that has it ends with us."""
    for folder in _places(c):
        file = folder / f"{status.run}.json"
        with contextlib.suppress(OSError, errors.ClusterError, redis.RedisError):  # what came first is told
            folder.mkdir(parents=True, exist_ok=True)
            kept = to._replace(
                chosen=run.job.writer("json", status.options), output=file, drawn=None, report=None, keeper=None
            )
            kept.write(run, status)
            say(f"{status.run} is done, and its result is in {logs.plain(str(file))}")
            return


def _conclude(c: Client, run: Run, status: Status, to: Target, live: Live) -> int:
    """Write the result of a run that ended, or the rest of what ``live`` writes, and say how it went."""
    if status.state != "done":
        c.drop_kept()
    require_done(status)
    if c.is_private:
        from cluster.client import history

        history.keep(c.config.cache_folder, status, sum(node.slots for node in run.nodes()))
    rest = _keep_missing(c, status) if c.is_private and len(status.failures) > texts.MOST_FAILURES else ""
    told = texts.missing(status, rest)
    try:
        live.finish()
        problems = to.write(run, status, is_written=live.writes_result)
    except (KeyboardInterrupt, SystemExit, OSError, errors.ClusterError, redis.RedisError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        say("\n".join([*told, texts.outcome(status)]))  # that the result cannot be written hides nothing of this
        stays = c.keeps or not c.is_private
        if not stays and isinstance(error, OSError | errors.ClusterError) and not run.job.trains:
            _rescue(c, run, status, to)
        elif stays and not isinstance(error, errors.RunFailed):  # else it can be had nowhere
            # What is to be added to an output, `cluster result` would put in its place.
            how = "the same command writes it" if to.keeper else f"cluster result {run.id}, or the same command"
            say(f"{run.id} is done, and its result is kept: {how}")
        raise
    with contextlib.suppress(redis.RedisError):
        run.settle()
    lines = [*told, *worth_texts.of_run(run), *map(logs.plain, problems)]
    if problems and c.keeps:
        lines.append(f"what was read is kept: `cluster result {run.id}` writes it once that is mended")
    else:
        c.drop_kept()
    say("\n".join([*lines, texts.outcome(status, to.place(), to.passed_over)]))
    return errors.ITEMS_MISSING_EXIT_CODE if status.items_failed or problems else 0
