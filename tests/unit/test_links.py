"""How fast bytes cross is measured where they cross; the devices and the site of a node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from cluster import blobs
from cluster.blobs import KEEP_S, Ref, measured
from cluster.blobs.measured import LEAST_BYTES, Measured, Meter
from cluster.blobs.memory import MemoryBlobs
from cluster.cli import link_texts
from cluster.nodes.registry import Links
from cluster.worker import devices, site
from tests.kit.nodes import a_node

LARGE = bytes(LEAST_BYTES)


class Slow(MemoryBlobs):
    """Each call takes a second of a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def put(self, scope: str, blobs: Sequence[bytes], keep_s: int = KEEP_S) -> list[Ref]:
        self.now_s += 1
        return super().put(scope, blobs, keep_s)

    def read(self, scope: str, refs: Sequence[Ref]) -> list[bytes | None]:
        self.now_s += 1
        return super().read(scope, refs)


def test_bytes_that_crossed_are_measured_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    meter, slow = Meter(), Slow()
    monkeypatch.setattr(measured, "time", SimpleNamespace(monotonic=lambda: slow.now_s))
    store = Measured(slow, meter)
    [ref, again] = store.put("scope", [LARGE, LARGE])
    assert ref == again
    assert meter.up_bytes_s == LEAST_BYTES  # the same bytes cross once
    assert meter.down_bytes_s is None
    assert blobs.get_one(store, "scope", ref) == LARGE
    assert store.read("scope", [blobs.address(b"gone")]) == [None]
    assert meter.down_bytes_s == LEAST_BYTES


def test_small_transfers_tell_nothing_of_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    meter, slow = Meter(), Slow()
    monkeypatch.setattr(measured, "time", SimpleNamespace(monotonic=lambda: slow.now_s))
    [ref] = Measured(slow, meter).put("scope", [LARGE[1:]])
    Measured(slow, meter).read("scope", [ref])
    assert (meter.up_bytes_s, meter.down_bytes_s) == (None, None)


def test_a_speed_is_a_moving_mean_of_transfers() -> None:
    meter = Meter()
    for seconds in (1.0, 0.5):
        meter.sent(LEAST_BYTES, seconds)
    assert meter.up_bytes_s == pytest.approx(LEAST_BYTES * (1 + measured.WEIGHT))


def test_one_transfer_that_stood_still_counts_for_nothing() -> None:
    meter = Meter()
    for seconds in (1.0, 60.0, 1.0, 60.0):
        meter.received(LEAST_BYTES, seconds)
    assert meter.down_bytes_s == LEAST_BYTES
    meter.received(LEAST_BYTES, 60.0)  # the second in a row
    assert meter.down_bytes_s < LEAST_BYTES


GPUS = "0, GPU-aa11, 24576\n1, GPU-bb22, 81559\nnonsense\n2, GPU-cc33, [N/A]\n"


@pytest.mark.parametrize(
    ("visible", "gib"),
    [(None, [24, 80]), ("1", [80]), ("GPU-bb,0", [80, 24]), ("", []), ("-1,0", []), ("0,7,1", [24])],
)
def test_gpus_are_those_that_this_process_may_use(visible: str | None, gib: list[int]) -> None:
    assert devices.seen(GPUS, visible) == gib


def test_a_machine_without_a_working_driver_tells_its_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [device[:5] for device in devices.found.__wrapped__()] == ["cpu x"]
    assert "nvidia-smi does not tell the GPUs" in caplog.text


def test_the_machine_of_the_hub_is_local() -> None:
    for url in ("redis://127.0.0.1:1", "redis://:word@localhost", "sentinel://127.0.0.1;sentinel://10.0.0.1/0"):
        assert site.name(site.address(url)) == "local"
    assert site.name(site.address("redis://nowhere.invalid")) == ""


CARD = {"wlan0": [SimpleNamespace(address="10.0.4.7", netmask="255.255.254.0"),
                  SimpleNamespace(address="fe80::1:2%wlan0", netmask="ffff:ffff:ffff:ffff::")]}  # fmt: skip
ROUTES = """Iface\tDestination\tGateway\tFlags
eth9\t00000000\t0105000A\t0003
wlan0\t0004000A\t00000000\t0001
wlan0\t00000000\t0104000A\t0003
"""


@pytest.mark.parametrize(
    ("own", "name"),
    [("10.0.4.7", "10.0.4.0-23-via-10.0.4.1"), ("fe80::1:2%wlan0", "fe80---64"), ("10.9.9.9", "10.9.9.9"), ("", "")],
)
def test_a_site_is_a_subnet_with_its_gateway(
    own: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "route").write_text(ROUTES)
    monkeypatch.setattr(site, "ROUTES", tmp_path / "route")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: CARD)
    assert site.name(own) == name


def test_a_system_that_tells_no_routes_leaves_out_the_gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(site, "ROUTES", tmp_path / "none")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: CARD)
    assert site.name("10.0.4.7") == "10.0.4.0-23"


def test_links_are_shown_by_site_in_network_units() -> None:
    fast = Links(up_bytes_s=1.25e6, down_bytes_s=12.5e6, rtt_s=0.0405)
    found = [
        a_node("gone@pc", state="gone", site="attic"),
        a_node("b@pc", site="lab", links=fast, edge="e1", edge_links=Links(up_bytes_s=1e8), lan="10.0.4.7"),
        a_node("a@pc", site="home\x1b[2J", devices=["cpu x4", "cuda:0 24 GiB"]),
    ]
    lines = link_texts.links(found).splitlines()
    assert [line.split()[0] for line in lines] == ["NODE", "a@pc", "b@pc"]
    assert "\x1b" not in lines[1]
    assert lines[1].endswith("cpu x4, cuda:0 24 GiB")
    assert lines[2].split("  ")[1:] != []
    for word in ("10 Mb/s", "100 Mb/s", "40.5 ms", "800 Mb/s", "10.0.4.7", " e1 "):
        assert word in lines[2]
    assert "  round trip   40.5 ms" in link_texts.links(found, 40).splitlines()
