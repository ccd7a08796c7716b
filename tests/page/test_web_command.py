"""`cluster web` as a person starts it: its own cluster, links, users, Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster import errors, redis_client
from cluster.nodes.registry import Registry
from tests.kit.commands import cluster
from tests.kit.nodes import a_report
from tests.kit.programs import find_program, find_redis, start_cluster

NO_WORKER = ("web", "--port", "0", "--no-worker", "--no-open", "--json")


@contextmanager
def started(settings: Mapping[str, str], *options: str | Path) -> Iterator[dict[str, Any]]:
    """What it prints, while it runs; it ends as by Ctrl-C."""
    with start_cluster(*NO_WORKER, *options, settings=settings) as program:
        assert program.stdout is not None
        yield json.loads(program.stdout.readline())
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=30)
        assert program.returncode == 0, told
        assert "ending the page" in told


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    find_redis()
    return {"CLUSTER_DATA_DIR": str(tmp_path / "data"), "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}


@contextmanager
def entered(link: str) -> Iterator[httpx.Client]:
    """Somebody who has opened a link."""
    url, _, secret = link.partition("/enter#")
    with httpx.Client(base_url=url, headers={"Sec-Fetch-Site": "same-origin"}) as asker:
        answer = asker.post("/enter", json={"secret": secret})
        assert answer.status_code == 204, answer.text
        yield asker


def test_one_command_gives_a_page_with_a_cluster_that_stays(settings: dict[str, str], tmp_path: Path) -> None:
    with started(settings) as told:
        with entered(told["link"]) as admin:
            found = admin.get("/account.json").json()
            assert (found["name"], found["role"]) == (told["user"], "admin")
        # Its sub-commands find it without a broker.
        link = json.loads(cluster("web", "link", "--json", settings=settings).stdout)
        assert link["link"].startswith(f"{told['url']}/enter#")
        added = json.loads(
            cluster("web", "user", "add", "maria", "--role", "viewer", "--json", settings=settings).stdout
        )
        with entered(added["link"]) as maria:
            assert maria.get("/account.json").json()["role"] == "viewer"
            assert cluster("web", "user", "role", "maria", "operator", settings=settings).returncode == 0
            assert maria.get("/account.json").json()["role"] == "operator"
            assert cluster("web", "user", "remove", "maria", settings=settings).returncode == 0
            assert maria.get("/account.json").status_code == 401
        token = cluster("token", "new", "scans", settings=settings).stdout.strip()
        by_program = httpx.get(f"{told['url']}/runs.json", headers={"Authorization": f"Bearer {token}"})
        assert by_program.status_code == 200, by_program.text
        unknown = cluster("web", "link", "maria", settings=settings)
        assert unknown.returncode == 2
        assert "there is no user 'maria'" in unknown.stderr
        second = cluster(*NO_WORKER, settings=settings)
        assert second.returncode == 2
        assert "`cluster web link` prints a link to its page" in second.stderr
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "data" / "hub", tmp_path / "data/hub/page")} == {0o700}
    gone = cluster("web", "link", settings=settings)
    assert gone.returncode == 4
    assert "start `cluster web`" in gone.stderr
    with started(settings) as again:
        assert again["broker"] == told["broker"]
        [user] = json.loads(cluster("web", "user", "list", "--json", settings=settings).stdout)
        assert user["name"] == told["user"]


def test_machines_that_reach_the_page_reach_its_cluster_by_the_password(settings: dict[str, str]) -> None:
    """127.0.0.2 is the address that other machines know; nothing of it listens there unless it is asked to."""
    elsewhere = "127.0.0.2"
    if not can_listen(elsewhere):
        pytest.skip(f"this machine has no address {elsewhere}")
    with started(settings) as told:
        here = told["broker"]
        assert "@127.0.0.1:" in here
        with pytest.raises(errors.BrokerUnreachable):
            redis_client.check(here.replace("127.0.0.1", elsewhere))
    with started(settings, "--host", elsewhere) as told:
        assert told["broker"] == here.replace("127.0.0.1", elsewhere)
        redis_client.check(here)  # for commands of this machine
        with pytest.raises(errors.BrokerRefused):
            redis_client.check(re.sub(":[^:@]*@", "", told["broker"]))
        with redis_client.connect(told["broker"]) as other:
            Registry(other).heartbeat("other@pc", "one-of-its-lives", "here", a_report(slots=3))
        with entered(told["link"]) as admin:
            assert admin.get("/health", headers={"Host": elsewhere}).status_code == 200
            [node] = admin.get("/nodes.json").json()["nodes"]
            assert (node["node"]["name"], node["node"]["slots"]) == ("other@pc", 3)
            line = admin.get("/nodes/join.json").json()["line"]
            assert line.startswith(f"CLUSTER_BROKER_URL='redis://:***@{elsewhere}:")
        assert told["url"].startswith(f"http://{elsewhere}:")
        assert cluster("web", "link", settings=settings).returncode == 0, "it finds the cluster by loopback"


def can_listen(address: str) -> bool:
    """Whether it is one of this machine."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def test_the_page_of_a_named_cluster_is_ready_soon_and_has_a_folder_of_its_own(
    broker: str, settings: dict[str, str], tmp_path: Path
) -> None:
    began = time.monotonic()
    with started(settings, "--broker", broker) as told:
        took_s = time.monotonic() - began
        assert httpx.get(f"{told['url']}/health").status_code == 200
        assert told["broker"] is None
        [folder] = (tmp_path / "data" / "page").iterdir()
        assert folder.name.startswith("127.0.0.1-")
        second = cluster(*NO_WORKER, "--broker", broker, settings=settings)
        assert (second.returncode, "another `cluster web` has" in second.stderr) == (2, True)
    assert took_s < 15  # 1.5 s on a machine that does nothing else: see the benchmark `page`


def test_https_with_a_certificate_of_ones_own_tells_its_fingerprint(broker: str, settings: dict[str, str]) -> None:
    find_program("openssl", "openssl")
    with started(settings, "--broker", broker, "--tls", "self", "--name", "pc1.example") as told:
        assert told["url"].startswith("https://127.0.0.1:")
        assert len(told["fingerprint"].split(":")) == 32
        with httpx.Client(base_url=told["url"], verify=False) as asker:
            assert asker.get("/health", headers={"Host": "pc1.example"}).status_code == 200
            assert asker.get("/health", headers={"Host": "pc2.example"}).status_code == 421


def test_behind_a_proxy_links_and_addresses_are_the_proxys(broker: str, settings: dict[str, str]) -> None:
    with started(settings, "--broker", broker, "--behind-proxy", "https://scans.example.org/") as told:
        assert told["url"] == "https://scans.example.org"
        assert told["link"].startswith("https://scans.example.org/enter#")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--tls", "self", "--cert", "c.pem"), "leave one out"), (("--key", "k.pem"), "give --cert, too"),
        (("--behind-proxy", "scans.example.org"), "is not of the form https://NAME[:PORT]"),
        (("--behind-proxy", "https://h/below"), "is not of the form https://NAME[:PORT]"),
        (("--port", "70000"), "70000"), (("--data", ""), "a path is empty"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_told_in_a_line(options: tuple[str, ...], told: str) -> None:
    done = cluster("web", *options)
    assert done.returncode == 2
    assert told in done.stderr
