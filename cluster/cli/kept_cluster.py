"""What commands say of the cluster that a `cluster web` keeps on this machine, where no broker is set."""

from __future__ import annotations

from cluster.cli import say
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
