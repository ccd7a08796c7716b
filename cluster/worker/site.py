"""Where this machine is in the network: the address by which it reaches the hub, and the site which that tells."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import psutil

from cluster import names, redis_url

LOCAL = "local"
"""The site of the hub's own machine."""
ROUTES = Path("/proc/net/route")
IPV6_PREFIX = 64


def address(url: str) -> str:
    """The address of this machine by which it reaches the Redis of a URL, the first of several; "" if none leads there.

    Sends nothing: it only asks the routing table.
    """
    host, port = redis_url.first_address(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, there = found[0]
        with socket.socket(family, kind, protocol) as asking:
            asking.connect(there)
            return str(asking.getsockname()[0])
    except OSError:
        return ""


def name(own: str) -> str:
    """The name of the site of an address: its subnet with the gateway, ``10.0.4.0-24-via-10.0.4.1``.

    Two homes with routers of the same make have the same name; ``CLUSTER_SITE`` tells them apart.
    """
    try:
        here = ipaddress.ip_address(own.partition("%")[0])
    except ValueError:
        return ""
    if here.is_loopback:
        return LOCAL
    for card, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if one.address.partition("%")[0] == str(here):
                prefix = one.netmask if here.version == 4 and one.netmask else IPV6_PREFIX
                network = ipaddress.ip_network(f"{here}/{prefix}", strict=False)
                via = gateway(card) if here.version == 4 else ""
                return names.site(str(network.network_address), network.prefixlen, via)
    return names.site(str(here))


def gateway(card: str) -> str:
    """The IPv4 gateway behind a network card; "" where there is none, or this system does not tell."""
    try:
        lines = ROUTES.read_text().splitlines()[1:]
    except OSError:
        return ""
    for line in lines:
        found, to, via, *_ = line.split()
        if found == card and int(to, 16) == 0 and int(via, 16):
            return str(ipaddress.IPv4Address(int(via, 16).to_bytes(4, "little")))
    return ""
