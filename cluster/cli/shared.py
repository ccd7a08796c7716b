"""What several commands take: the broker option, JSON output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from cluster import redis_client, runs, settings
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


PATH = _Path(path_type=Path)
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
    """Node -> why it does not do a run: it lacks something, or has the job in another version."""
    found = {}
    for node in nodes:
        if node.state == "online" and (why := node.missing.get(status.label)):
            found[node.name] = why
            continue
        plain = [label.partition("@")[0] for label in node.jobs]
        versions = {label.partition(".")[0]: label.partition(".")[2] for label in plain}
        if node.state == "online" and versions.get(status.job, status.version) != status.version:
            has, needs = versions[status.job] or "none", status.version or "none"
            found[node.name] = f"has another version of the job: {has}; the run needs {needs}"
    return found


def print_json(value: Any) -> None:
    """Print a value as indented JSON with a line end."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
