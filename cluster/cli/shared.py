"""Options that several commands share: the broker, JSON output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from cluster import logs, settings

Command = TypeVar("Command", bound=Callable[..., Any])


class _Path(click.Path):
    """A path. An empty one, as of a variable that is not set, would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path.

        Raises:
            click.BadParameter: It is empty.
        """
        if value == "":
            self.fail("a path is empty", param, ctx)
        return super().convert(value, param, ctx)


class _Output(_Path):
    """Where a result goes, as it was typed: a slash at the end says that it is a folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As text; None for ``-``, which is stdout.

        Raises:
            click.BadParameter: It is empty.
        """
        return None if value == "-" else super().convert(value, param, ctx)


class _Folder(_Path):
    """A folder; ``NO_NAME`` for an option that was given without one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path.

        Raises:
            click.BadParameter: It is empty.
        """
        return NO_NAME if value == str(NO_NAME) else super().convert(value, param, ctx)


NO_NAME = Path("\0")
"""No folder is called so."""
FOLDER = _Folder(path_type=Path)
PATH = _Path(path_type=Path)
OUTPUT = _Output(path_type=str)
FROM_FILE = "broker from a file"


def _read_broker(context: click.Context, _: click.Parameter, file: Path | None) -> None:
    if file is not None:
        context.meta[FROM_FILE] = settings.read_broker_url(file)


def _choose_broker(context: click.Context, _: click.Parameter, url: str | None) -> str | None:
    if url is not None and FROM_FILE in context.meta:
        raise click.UsageError("--broker and --broker-file both name the cluster: leave one out", context)
    return context.meta.get(FROM_FILE) if url is None else url


def broker(command: Command) -> Command:
    """The options ``--broker`` and ``--broker-file``, as the parameter ``broker``: a URL."""
    from_file = click.option(
        "--broker-file",
        type=PATH,
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read_broker,
        help="Read the URL from a file, so that no list of processes shows it.",
    )
    by_url = click.option(
        "--broker",
        metavar="URL",
        callback=_choose_broker,
        help="The cluster's Redis; by default CLUSTER_BROKER_URL, or what CLUSTER_BROKER_URL_FILE holds.",
    )
    return by_url(from_file(command))


annotate = click.option(
    "--annotate",
    "drawn",
    type=PATH,
    metavar="FOLDER",
    help="Draw boxes and names into copies of the pictures, in this folder.",
)
save = click.option(
    "--save",
    type=PATH,
    metavar="FOLDER",
    help="Write the model of every tenth round (--checkpoint) into this folder of this machine.",
)
report = click.option(
    "--report",
    type=PATH,
    metavar="FILE.csv",
    help="Write a table of all items at the end: done or missing and why, node, seconds, confidence.",
)
follow = click.option("--follow", is_flag=True, help="Print a JSON line for each item on stdout as soon as it is done.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def print_json(value: Any) -> None:
    """Print a value as indented JSON with a line end."""
    _print(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def print_json_line(value: Any) -> None:
    """Print a value as JSON in one line."""
    _print(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def _print(text: bytes) -> None:
    sys.stdout.buffer.write(logs.plain_json(text.decode()).encode())
    sys.stdout.buffer.flush()
