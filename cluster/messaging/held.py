"""The messages that each incarnation of a node holds: it has taken them and not yet acknowledged them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import keys, names

if TYPE_CHECKING:
    from celery import Celery

    from cluster.messaging.messages import About

FOREVER_S = 10**9


def restore(app: Celery, incarnation: str) -> list[About]:
    """Give back to their queues, in front, all messages that a lost incarnation of a node holds.

    Gives those that it dropped: they were held by others that were lost, too.
    """
    wanted = {**options(app.conf, incarnation), "client_name": None}
    with app.connection_for_write(transport_options=wanted) as connection:
        kept_back: list[About] = connection.default_channel.qos.restore_strays(lost=True)
        return kept_back


def options(conf: Any, incarnation: str) -> dict[str, Any]:
    """The transport's options with keys of its own for what this incarnation of a node holds.

    So its messages can be given back as soon as it is lost, and if it was only paused, what it acknowledges late
    is not what another holds by then.
    """
    key = keys.unacked(incarnation)
    return {
        **(conf.broker_transport_options or {}),
        "unacked_key": key,
        "unacked_index_key": f"{key}:index",
        "unacked_mutex_key": f"{key}:mutex",
        "unacked_mutex_expire": 10,
        "visibility_timeout": FOREVER_S,
        "client_name": names.connection(incarnation),
    }
