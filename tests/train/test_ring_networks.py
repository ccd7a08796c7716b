"""A ring between two machines, as far as one machine can play them: each member in a network namespace of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregators import nets
from tests.kit.ring_members import Member
from tests.kit.waiting import wait_until

VIEW = nets.resolve(nets.parse("mlp:8"), (4,), 3).init(3).tobytes()
ADDRESSES = ("10.199.77.1", "10.199.77.2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@pytest.fixture
def networks() -> Iterator[list[str]]:
    """Two network namespaces with a cable between them."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the program ip")
    mark = secrets.token_hex(3)
    names = [f"ring-{mark}-{at}" for at in range(2)]
    made: list[str] = []
    try:
        for name in names:
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
            made.append(name)
        ip("link", "add", f"r{mark}0", "netns", names[0], "type", "veth", "peer", f"r{mark}1", "netns", names[1])
        for at, name in enumerate(names):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"{ADDRESSES[at]}/24", "dev", f"r{mark}{at}")
            ip("-n", name, "link", "set", f"r{mark}{at}", "up")
        yield names
    finally:
        for name in made:
            ip("netns", "del", name)


def test_members_whose_cable_is_cut_go_on_alone(networks: list[str], tmp_path: Path) -> None:
    members = [
        Member(tmp_path, at, VIEW, host=ADDRESSES[at], seconds=6.0, dead_s=1.5, fault=(20, 0)) for at in range(2)
    ]
    processes = [member.start_in(network) for member, network in zip(members, networks, strict=True)]
    try:
        wait_until("both make steps", lambda: len(list(tmp_path.glob("reached *"))) == 2, 120)
        ip("-n", networks[0], "link", "set", f"r{networks[0].split('-')[1]}0", "down")
        for address, member in zip(ADDRESSES, members, strict=True):
            told = member.told()
            assert told["ring"][0] == 2
            assert told["ring"][1].startswith("the ring broke: ")
            assert "members" not in told["value"]
            assert told["value"]["steps"] > 20
            assert set(told["meanwhile"]) <= {address}
            assert told["took"] < 12
    finally:
        for process in processes:
            process.kill()
            process.wait()
