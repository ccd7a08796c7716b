"""Whether a Redis that answers can serve a cluster."""

from __future__ import annotations

import functools
import logging
import resource
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from cluster import errors, keys

MINIMUM_VERSION = (6, 2)
PROBES = (
    ("run scripts", "+@scripting", ("EVAL", "return 1", 0)),
    (
        "use its keys", "~*",
        ("UNLINK", keys.WRITABLE, keys.queue("-"), "_kombu.binding.probe", "celery-task-meta-probe", "chord-probe"),
    ),
    ("use its channels", "&*", ("PUBLISH", "/0.celery.pidbox.probe", "")),
)  # fmt: skip
"""Permissions that a cluster needs: in words, as ACL rule, and a command that needs it and changes nothing (no job has
the name ``-``)."""
FILES = 64
"""Files that any program of a cluster may need open; a worker without slots was seen to open 19."""
log = logging.getLogger(__name__)


def see(client: redis.Redis, name: str) -> None:
    """See that the Redis of ``client`` can serve a cluster; warn of what may go wrong later.

    Args:
        client: Fails at once.
        name: Its URL without passwords, for messages.

    Raises:
        errors.BrokerRefused: It cannot; the message says why, and what helps.
        errors.BrokerDenied: Its user may not do what a cluster does.
    """
    said: Any = client.info()
    version = str(said.get("redis_version", "0"))
    if tuple(int(number) for number in version.split(".")[:2]) < MINIMUM_VERSION:
        raise errors.BrokerRefused(f"Redis at {name} is version {version}; 6.2 or newer is needed")
    if said.get("redis_mode") == "cluster" or said.get("cluster_enabled"):
        raise errors.BrokerRefused(
            f"Redis at {name} runs in Redis Cluster mode, which spreads keys over several servers;"
            " `cluster` needs one Redis, alone or watched by Sentinel"
        )
    if said.get("role") == "slave":
        master = f"{said.get('master_host')}:{said.get('master_port')}"
        raise errors.BrokerRefused(f"Redis at {name} is a read-only replica; give the address of its master, {master}")
    policy = str(said.get("maxmemory_policy", ""))
    if said.get("maxmemory") and policy not in ("", "noeviction"):
        _warn(
            f"Redis at {name} drops keys when it is full, and with them parts of results (maxmemory-policy {policy});"
            " set it to noeviction"
        )
    _see_permissions(client, name)


def see_files(needed: int, what: str) -> None:
    """See that this process may open as many files and connections as it needs; raise its limit where it may.

    Raises:
        errors.JobUnavailable: It may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise errors.JobUnavailable(
            f"{what} needs {needed} open files, and the limit is {hard}; raise it: ulimit -n {max(1024, needed)}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def denied(name: str, error: Exception) -> errors.BrokerDenied:
    """The error about a command that Redis denies its user."""
    return errors.BrokerDenied(f"Redis at {name} denies its user what `cluster` needs: {error}")


def _see_permissions(client: redis.Redis, name: str) -> None:
    with client.pipeline(transaction=False) as pipe:
        for _, _, command in PROBES:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        answers = pipe.execute(raise_on_error=False)
    for (what, rule, _), answer in zip(PROBES, answers, strict=True):
        if isinstance(answer, NoPermissionError):
            raise errors.BrokerDenied(
                f"Redis at {name} does not let its user {what} ({answer}); the user's ACL lacks {rule}"
            )


@functools.cache
def _warn(text: str) -> None:
    """Once in a process."""
    log.warning(text, extra={"event": "redis-unfit"})
