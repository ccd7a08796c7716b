"""How another machine joins a cluster: the command to type there, and whether it can reach the cluster at all."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel

from cluster import addresses, redis_url
from cluster.settings import DEFAULT_MASTER

if TYPE_CHECKING:
    from cluster.settings import Settings

PROBE_S = 0.5
ALL = addresses.ALL[0]


class Joining(BaseModel):
    """How another machine joins."""

    line: str
    """The command to type there; with *** for the password, unless it was asked for."""
    has_password: bool
    """Whether the password stands in it: anyone who has it can run work on the machines and read their data."""
    problem: str
    """Why other machines cannot join now, and what helps; "" if they can."""


def joining(config: Settings, *, with_password: bool = False) -> Joining:
    """How another machine joins the cluster of these settings; see ``Client.joining``."""
    url = config.given_broker()
    found = reached_from_elsewhere(url)
    host, port = redis_url.first_address(url)
    problem = "" if found else (
        f"the Redis of this cluster is at {host}:{port}, which only this machine reaches;"
        " where redis-server is installed, `cluster web --host 0.0.0.0` without a broker starts one that others reach,"
        " and so does `cluster up --host 0.0.0.0`, whose line is for `cluster web`, too"
    )  # fmt: skip
    hidden = redis_url.masked(found or url)
    shown = (found or url) if with_password else hidden
    return Joining(line=line(config, shown), has_password=with_password and shown != hidden, problem=problem)


def line(config: Settings, url: str) -> str:
    """The command that makes another machine join the cluster at ``url``."""
    is_other = url.startswith(redis_url.SENTINEL) and config.sentinel_master != DEFAULT_MASTER
    master = f"CLUSTER_SENTINEL_MASTER={config.sentinel_master} " if is_other else ""
    return f"{master}CLUSTER_BROKER_URL='{url}' cluster worker"


def reached_from_elsewhere(url: str) -> str:
    """The URL by which other machines find the Redis of ``url``; "" if none is known.

    A Redis that is named by this machine's loopback address may listen on its others, too: tries that.
    """
    host, port = redis_url.first_address(url)
    if not is_loopback(host):
        return url
    here = addresses.reachable(ALL)
    if url.startswith(redis_url.SENTINEL) or is_loopback(here):
        return ""
    try:
        socket.create_connection((here, port), PROBE_S).close()
    except OSError:
        return ""
    said = urlsplit(url)
    shown = f"[{here}]" if ":" in here else here
    return said._replace(netloc=re.sub(r"[^@]*$", f"{shown}:{port}", said.netloc, count=1)).geturl()


def is_loopback(host: str) -> bool:
    """Whether an address, or what a name stands for, is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address).is_loopback for address in found)
