"""Addresses to listen on, and under which others find this machine."""

from __future__ import annotations

import socket

ALL = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def ipv4(host: str) -> str:
    """The IPv4 address of ``host``, ``0.0.0.0`` for all; "" for one that has none."""
    if host in ALL:
        return ALL[0]
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
    except (OSError, UnicodeError):  # the latter of a name that none can be
        return ""


def reachable(host: str) -> str:
    """The address under which others find a program of this machine that listens on ``host``."""
    if host not in ALL:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; asks which address would be used
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
