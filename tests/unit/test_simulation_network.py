"""Network files: what they come to, and what is said of bad ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cluster.errors import UsageError
from cluster.simulation import network, units

NETWORK = """
part = "4 MB"
[cloud]
compute = "10 ms/step"
[[edge]]
name = "lab"
count = 2
up = "10 Mb/s"
down = "50 Mb/s"
latency = "40 ms"
aggregates = true
[[terminal]]
of = "lab"
count = 4
up = "100 Mb/s"
compute = ["10 ms/step", "50 ms/step * .25"]
leaves = "10 % per round"
returns = "30 s"
joins_at = "uniform 0..20 s"
"""


def test_a_file_becomes_edges_and_terminals_with_their_links() -> None:
    found = network.parse(NETWORK)
    assert (found.cloud_step_s, found.part_bytes) == (0.01, 4_000_000)
    assert list(found.edges) == ["lab0", "lab1"]
    assert [each.of for each in found.terminals] == ["lab0", "lab0", "lab1", "lab1"]
    assert sorted(each.step_s for each in found.terminals) == [0.01, 0.01, 0.01, 0.05]
    own, shared = found.links(found.terminals[3])
    assert (own.up_bytes_s, own.down_bytes_s, own.latency_s) == (12.5e6, 12.5e6, 0.0)
    assert (shared.name, shared.up_bytes_s, shared.down_bytes_s, shared.latency_s) == ("lab1", 1.25e6, 6.25e6, 0.04)
    assert all(0 <= each.joins_s <= 20 and each.returns_s == 30 and each.leaves == 0.1 for each in found.terminals)


def test_the_same_seed_draws_the_same_slow_terminals() -> None:
    assert network.parse(NETWORK, 7) == network.parse(NETWORK, 7)
    assert network.parse(NETWORK, 7) != network.parse(NETWORK, 8)


def test_a_terminal_without_a_place_is_at_the_cloud() -> None:
    [one] = network.parse("[[terminal]]\n").terminals
    assert (one.name, one.of, one.link.up_bytes_s, one.returns_s) == ("t", "cloud", math.inf, math.inf)


def test_edges_behind_edges_add_up_their_links() -> None:
    edges = '[[edge]]\nname="room"\nof="house"\nlatency="1 ms"\n[[edge]]\nname="house"\nlatency="9 ms"\n'
    text = f'{edges}[[terminal]]\nof="room"'
    found = network.parse(text)
    assert [link.name for link in found.links(found.terminals[0])] == ["t", "room", "house"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"no \[\[terminal\]\]"),
        ('[[edge]]\nname="a"\nof="b"\n[[edge]]\nname="b"\nof="a"\n[[terminal]]\nof="a"', "in a circle.* a -> b -> a"),
        ('[[terminal]]\nof="lab"', "the terminal 't' cannot reach the cloud: it is behind 'lab'"),
        ('[[edge]]\nname="a"\nof="x"\n[[terminal]]\nof="a"', "the edge 'a' cannot reach the cloud"),
        ('[[terminal]]\nup="0 Mb/s"', "up of the terminal 't' is '0 Mb/s': nothing would ever get through"),
        ('[[edge]]\nname="a"\n[[edge]]\nname="a"\n[[terminal]]\nof="a"', "the site 'a' is in two places"),
        ('[[edge]]\nname="a"\ncount=2\n[[edge]]\nname="a1"\n[[terminal]]', "the site 'a1' is in two places"),
        ('[[edge]]\nname="a"\n[[terminal]]\nname="a"', "the terminal 'a' is in two places"),
        ('[[terminal]]\nuup="1 Mb/s"', "has 'uup', which is none of its keys; did you mean up"),
        ("terminals = 1", "the file has 'terminals', which is none of its keys; did you mean terminal"),
        ("[terminal]\ncount=1", r"terminal of the file must be written with two brackets"),
        ("[[terminal]]\ncount=0", "count of the terminal 't' is 0; it must be a number from 1"),
        ('[[terminal]]\nup="10 Mbit"', "is '10 Mbit'; it must be a bandwidth, such as '10 Mb/s', with"),
        ("[[terminal]]\nlatency=5", "is 5; it must be a time, such as '40 ms'"),
        ('[[terminal]]\ncompute="10 ms"', "it must be the time of a step, such as '10 ms/step'"),
        ('[[terminal]]\ncompute="0 ms/step"', "a step takes some time"),
        ('[[terminal]]\ncompute=["10 ms/step", "50 ms/step"]', "each but the first needs its share"),
        ('[[terminal]]\nleaves="110 %"', "it must be a share, such as '10 % per round'"),
        ('[[terminal]]\njoins_at="uniform 9..3 s"', "it ends before it begins"),
        ("[[terminal", "Expected"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_in_a_sentence(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=told) as refused:
        network.read(path)
    assert str(refused.value).startswith(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: No such file"):
        network.read(tmp_path / "none.toml")


def test_quantities_are_read_with_their_units() -> None:
    assert units.bytes_s("8 kb/s") == 1000
    assert units.bytes_s("2 MB/s") == 2e6
    assert units.size_bytes("1 KiB") == 1024
    assert units.seconds("1.5 min") == 90
    assert units.share(".25") == units.share(0.25) == units.share("25 %") == 0.25
    assert units.span_s("5 s") == (5.0, 5.0)
