"""The cluster that a `cluster web` keeps on this machine: what commands say of it where no broker is set."""

from __future__ import annotations

from cluster import client, errors, settings
from cluster.cli import say
from cluster.client import Client
from cluster.settings import Settings

KEPT = "the cluster that `cluster web`, or `cluster up --data`, keeps on this machine"


def tell_private(config: Settings) -> None:
    """Say that a command works on this machine only; where a cluster is kept here, also how to work on that one."""
    from cluster.client import own_cluster

    told = "no broker is set (CLUSTER_BROKER_URL, --broker): on this machine only"
    if url := own_cluster.running(config):
        told += (
            f", not on {KEPT} ({own_cluster.shown(url)}). To work on that one, type first the line"
            " `export CLUSTER_BROKER_URL=…` that it printed when it was started"
        )
    say(told)


def acting(broker: str | None) -> Client:
    """As ``client.existing``, for a command that ends or changes something: says on which cluster, where none is named.

    Raises:
        errors.BrokerError: As ``client.existing``.
    """
    c = client.existing(broker)
    if not _is_named(broker):
        from cluster.client import own_cluster

        say(f"no broker is set: on {KEPT} ({own_cluster.shown(c.config.given_broker())})")
    return c


def require_named(broker: str | None) -> None:
    """See that a command which is about a whole cluster was told which one.

    Raises:
        errors.BrokerError: It was not.
    """
    if not _is_named(broker):
        raise errors.BrokerError(
            "no cluster is named: set CLUSTER_BROKER_URL or CLUSTER_BROKER_URL_FILE, or give --broker URL (this command"
            f" does not take {KEPT} by itself)"
        )


def _is_named(broker: str | None) -> bool:
    return settings.load(broker_url=broker).broker_url is not None
