"""What several commands take: the broker option, JSON output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from cluster import logs, redis_client, runs, settings
from cluster.nodes.registry import Node
from cluster.runs import Stores
from cluster.runs.status import Status
from cluster.settings import Settings

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


PATH = _Path(path_type=Path)
OUTPUT = _Output(path_type=str)
broker = click.option(
    "--broker", metavar="URL", help="The cluster's Redis; by default CLUSTER_BROKER_URL.", default=None
)
annotate = click.option(
    "--annotate",
    "drawn",
    type=PATH,
    metavar="FOLDER",
    help="Draw what was found into copies of the pictures, in this folder.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def connect(broker_url: str | None, *, patient: bool = False) -> tuple[Settings, Stores]:
    """The settings and stores of the cluster that is asked for, which are waited for only if ``patient``.

    Raises:
        errors.BrokerError: None is named, or it does not answer.
    """
    config = settings.load(broker_url=broker_url)
    redis_client.check(config.require_broker())
    return config, runs.connect(config, patient=patient)


def refusals(status: Status, nodes: Iterable[Node]) -> dict[str, str]:
    """Node -> why it does not do a run: it lacks something, or does not know the job, or in another version."""
    return {node.name: why for node in nodes if node.state == "online" and (why := node.why_not(status.label))}


def print_json(value: Any) -> None:
    """Print a value as indented JSON with a line end."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    sys.stdout.buffer.write(logs.plain_json(text).encode())
    sys.stdout.buffer.flush()
