"""The command line: one file a command. A command parses, calls one function, prints.

Data goes to stdout, progress and logs to stderr. Exit codes stand in ``cluster.errors``.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import importlib
import io
import os
import sys
import traceback

import click

from cluster import __version__, errors, logs, placement

COMMANDS = (
    "submit", "simulate", "reproduce", "status", "curve", "result", "search", "pause", "resume", "cancel", "runs",
    "jobs", "models", "serve", "services", "token", "nodes", "shutdown", "web", "up", "worker", "master", "flower",
    "doctor",
)  # fmt: skip
GARBAGE_FROM = 200_000
"""New objects after which Python looks for garbage. Loading makes half as many, none of them garbage: with this
threshold commands start faster."""


LOG_FORM = "cluster.log_format"
"""Where a context keeps what ``--log-format`` said."""
GARBAGE_BY_DEFAULT = gc.get_threshold()


def _set_up_log(context: click.Context, _: click.Parameter, form: str | None) -> None:
    from cluster import settings

    context.meta[LOG_FORM] = form
    logs.set_up_command(settings.load(), str(context.info_name), form)
    logs.warn_of_variables(settings.unknown_variables())


LOG_FORMAT = logs.format_option(_set_up_log)
"""Every command has it, so that each sets up its log."""


class Commands(click.Group):
    """Loads a command's module only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command, or None."""
        if name not in COMMANDS:
            return None
        placement.check()
        command: click.Command = importlib.import_module(f"cluster.cli.{name}").command
        if LOG_FORMAT not in command.params:
            command.params.append(LOG_FORMAT)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggests a command for one that is mistyped. Click compares only with commands that are loaded."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if near := difflib.get_close_matches(args[0], COMMANDS, 1):
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a command, without loading them all."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in COMMANDS])


SUMMARIES = {
    "submit": "Run a job on files and folders and print its result.",
    "simulate": "Train on a simulated network, in virtual time.",
    "status": "Show how far a run is.",
    "curve": "Show how a run that trains in rounds learns.",
    "result": "Print the result of a run that has ended.",
    "search": "Find pages by their words.",
    "pause": "Begin no more of a run until it is resumed.",
    "resume": "Continue a run that is paused or whose submitter is gone.",
    "cancel": "Stop a run and drop its results.",
    "runs": "List the runs of a cluster.",
    "jobs": "List the jobs and their options, or begin one of your own.",
    "models": "Manage models. Nodes fetch them by themselves.",
    "serve": "Answer HTTP requests by a job and its model.",
    "services": "List the services of a cluster, scale and stop them.",
    "token": "Manage the tokens with which programs may ask services.",
    "nodes": "Show the machines of a cluster.",
    "shutdown": "Ask nodes to stop, by default all.",
    "web": "Show a page to use the cluster from, in a browser.",
    "up": "Start a cluster on this machine that others can join.",
    "worker": "Make this machine a node of a cluster.",
    "master": "Take over runs whose submitter is gone.",
    "flower": "Show nodes and tasks on a web page.",
    "reproduce": "Get the figures of published experiments again.",
    "doctor": "Show what this machine can run, and why not.",
}


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExamples:\n"
    "  cluster submit --job ocr ./scans -o texts.json\n"
    "  cluster up\n"
    "  CLUSTER_BROKER_URL=redis://… cluster worker",
)
@click.version_option(__version__, prog_name="cluster")
def commands() -> None:
    """Pool machines that people already have into one computer."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error ends as one sentence and an exit code."""
    gc.set_threshold(GARBAGE_FROM)
    _open_streams()
    try:
        sys.exit(_run(arguments))
    finally:
        _let_go_of_streams()


def _run(arguments: list[str] | None) -> int:
    try:
        code = commands.main(arguments, prog_name="cluster", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return errors.UsageError.exit_code
    except click.ClickException as error:
        told = io.StringIO()
        error.show(told)
        say(told.getvalue().rstrip("\n"))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return errors.INTERRUPTED_EXIT_CODE
    except errors.ClusterError as error:
        say(f"cluster: {logs.of_error(error)}")
        return error.exit_code
    except BrokenPipeError:  # the program that read our output has ended (`| head`)
        return errors.ClusterError.exit_code
    except OSError as error:
        where = f": {logs.plain(str(error.filename))}" if error.filename else ""
        say(f"cluster: {logs.of_error(error.strerror or error)}{where}")
        return errors.ClusterError.exit_code
    except Exception as error:  # noqa: BLE001 - it ends here, told in full
        if not _is_redis(error):  # ours
            say(traceback.format_exc().rstrip("\n"))
            return errors.ClusterError.exit_code
        say(f"cluster: {_told_of_redis(error)}")
        return errors.BrokerError.exit_code
    return code if isinstance(code, int) else 0


def _open_streams() -> None:
    """Have a stdin, a stdout and a stderr, also where they were closed: what is opened next would take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it got the lowest number that is free
    if sys.stdin is None:
        sys.stdin = os.fdopen(0)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def _let_go_of_streams() -> None:
    """Where nobody takes what we wrote last (`| head`, a terminal that is closed), Python is not to complain of it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except ValueError:  # it is closed
            continue


def say(text: str) -> None:
    """Tell on stderr, if somebody can read it: else the exit code must do. No line of it can steer a terminal."""
    with contextlib.suppress(OSError):
        click.echo(logs.plain_lines(text), err=True)


def print_text(text: str) -> None:
    """Print on stdout what a person reads. No line of it can steer a terminal."""
    click.echo(logs.plain_lines(text))


def _told_of_redis(error: Exception) -> str:
    """Describe an error of Redis: whether Redis refused, and why, or is away."""
    cause = error.__cause__ if type(error).__module__.startswith("kombu.") and error.__cause__ else error
    kinds = {kind.__name__ for kind in type(cause).__mro__}
    why = logs.of_error(cause)
    if "OutOfMemoryError" in kinds or "maxmemory" in why:
        return "Redis is full (its maxmemory)"
    if "NoPermissionError" in kinds:
        return f"Redis denies its user what `cluster` needs: {why}"
    if kinds & {"ResponseError", "BusyLoadingError", "AuthenticationError", "AuthorizationError"}:
        return f"Redis refuses: {why}"
    return f"Redis went away: {why}"


def _is_redis(error: Exception) -> bool:
    """Whether a library for Redis raised the error. Compares names, so that no library is loaded for it."""
    return type(error).__module__.startswith(("redis.", "kombu."))
