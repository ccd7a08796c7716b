"""The proxy and the cable that chaos tests cut do cut."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cluster import redis_client
from tests.kit import cable
from tests.kit.cable import Cable
from tests.kit.programs import LOOPBACK, RedisServer
from tests.kit.proxy import Proxy
from tests.kit.waiting import wait_until

WAIT_S = 3.0
SHORT_S = 0.3
"""For what is not to come."""


def client(server: RedisServer, port: int, timeout_s: float = WAIT_S) -> redis.Redis:
    return redis.Redis(LOOPBACK, port, password=server.password, socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0))


def test_a_proxy_that_holds_lets_no_byte_pass_and_gives_all_when_it_lets_go(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server, Proxy(LOOPBACK, server.port) as proxy:
        direct = client(server, server.port)
        with socket.create_connection((LOOPBACK, proxy.port), WAIT_S) as through:
            through.sendall(b"AUTH %s\r\n" % server.password.encode())
            assert through.recv(100) == b"+OK\r\n"
            proxy.hold()
            through.sendall(b"SET held 1\r\n")
            through.settimeout(SHORT_S)
            with pytest.raises(TimeoutError):
                through.recv(100)
            with pytest.raises(redis.TimeoutError):
                client(server, proxy.port, SHORT_S).ping()
            assert direct.get("held") is None
            proxy.release()
            through.settimeout(WAIT_S)
            assert through.recv(100) == b"+OK\r\n"
        assert client(server, proxy.port).ping()
        assert direct.get("held") == b"1"


def test_a_proxy_that_resets_ends_connections_but_takes_new_ones(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server, Proxy(LOOPBACK, server.port) as proxy:
        with socket.create_connection((LOOPBACK, proxy.port), 5) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(100).startswith(b"-NOAUTH")
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
        assert client(server, proxy.port).ping()


def test_a_cable_that_is_cut_lets_nothing_pass_until_it_is_mended(tmp_path: Path) -> None:
    cable.needed()
    with Cable() as made, RedisServer(tmp_path / "redis", host=made.host) as server:

        def connects() -> bool:
            code = f"import socket; socket.create_connection(({made.host!r}, {server.port}), 2)"
            done = subprocess.run([*made.prefix, sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False)
            return not done.returncode

        assert connects()
        made.cut()
        assert not connects()
        made.mend()
        wait_until("the first connection over the mended cable", connects)  # ARP may still be failing: no route for 1 s


def test_a_timeout_bounds_progress_and_no_whole_value(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    value = b"x" * 4_000_000
    # Slower than the timeout by four; some of it is in the buffers between when all of it is sent.
    with Proxy(LOOPBACK, port, bytes_per_s=2_000_000) as proxy:
        slow = redis_url.replace(f":{port}/", f":{proxy.port}/")
        with redis_client.connect(slow, patient=False, timeout_s=0.5) as client:
            client.set("test-slow", value, px=60_000)
            assert client.get("test-slow") == value
            client.delete("test-slow")
