"""Which parameters are encoded together, by the plan of the net or of a file."""

from typing import NamedTuple

import pytest

from aggregators import codec, layer_groups
from aggregators.layer_groups import BadPlan, Group


class Parameter(NamedTuple):
    name: str
    shape: tuple[int, ...]
    kind: str


NET = (
    Parameter("conv1.weight", (16, 1, 3, 3), "conv"),
    Parameter("conv1.bias", (16,), "bias"),
    Parameter("norm.weight", (16,), "norm"),
    Parameter("conv2.weight", (32, 16, 3, 3), "conv"),
    Parameter("conv2.bias", (32,), "bias"),
    Parameter("head.weight", (10, 32), "linear"),
    Parameter("head.bias", (10,), "bias"),
)
SIZE = 144 + 16 + 16 + 4608 + 32 + 320 + 10


def covered(groups: tuple[Group, ...]) -> list[int]:
    return sorted(at for group in groups for start, stop in group.spans for at in range(start, stop))


def test_neighbours_of_one_kind_are_encoded_together() -> None:
    few = ("conv1.bias", "norm.weight", "conv2.bias", "head.bias")

    groups = layer_groups.plan(NET, 4)

    assert groups == (
        Group("conv", ((0, 144), (176, 4784)), 4, ("conv1.weight", "conv2.weight")),
        Group("norm+bias", ((144, 176), (4784, 4816), (5136, 5146)), 16, few),
        Group("linear", ((4816, 5136),), 4, ("head.weight",)),
    )
    assert covered(groups) == list(range(SIZE))


def test_a_group_grows_to_one_mebibyte_at_most() -> None:
    net = [Parameter(f"w{n}", (100_000,), "linear") for n in range(5)] + [Parameter("huge", (1_000_000,), "linear")]

    groups = layer_groups.plan(net, 4)

    assert [group.layers for group in groups] == [("w0", "w1"), ("w2", "w3"), ("w4",), ("huge",)]
    assert [group.name for group in groups] == ["linear-1", "linear-2", "linear-3", "linear-4"]
    assert groups[1].spans == ((200_000, 400_000),)


def test_norms_and_biases_keep_at_least_float16() -> None:
    by_bits = {bits: [group.bits for group in layer_groups.plan(NET, bits)] for bits in (2, 16, 32)}

    assert by_bits == {2: [2, 16, 2], 16: [16, 16, 16], 32: [32, 32, 32]}


def test_a_plan_that_is_written_reads_as_before() -> None:
    net = [*NET, Parameter('odd "name" \\', (3,), "linear")]
    groups = layer_groups.plan(net, 4)

    assert layer_groups.parse(layer_groups.to_toml(groups), net, 8) == groups


def test_the_first_group_that_matches_has_a_layer() -> None:
    text = """
    [[group]]
    name = "head"
    layers = ["head.*"]
    bits = 8
    [[group]]
    name = "rest"
    layers = ["*"]
    """

    head, rest = layer_groups.parse(text, NET, 3)

    assert (head.layers, head.bits) == (("head.weight", "head.bias"), 8)
    assert (rest.spans, rest.bits) == (((0, 4816),), 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("group = 1", r"consists of tables \[\[group\]\]"),
        ("[[group", "no TOML"),
        ("", r"consists of tables \[\[group\]\]"),
        ("other = 1\n[[group]]\nlayers = ['*']", "nothing else"),
        ("[[group]]\nlayers = ['conv9*']", "no layer 'conv9.*it has: conv1.weight"),
        ("[[group]]\nlayers = ['conv*']", "leaves out norm.weight, head.weight, head.bias"),
        ("[[group]]\nlayers = ['*']\n[[group]]\nlayers = ['head*']", "group 2 is empty"),
        ("[[group]]\nlayers = ['*']\nbits = 9", "bits = 9; it must be 2 to 8, 16 or 32"),
        ("[[group]]\nlayers = ['*']\nbits = true", "bits = True"),
        ("[[group]]\nlayers = ['*']\nbit = 4", "has 'bit'"),
        ("[[group]]\nlayers = '*'", "needs layers"),
        ("[[group]]\nbits = 4", "needs layers"),
        ("[[group]]\nname = ''\nlayers = ['*']", "name of group 1"),
        ("[[group]]\nname='a'\nlayers=['conv*']\n[[group]]\nname='a'\nlayers=['*']", "same name"),
    ],
)
def test_a_plan_that_cannot_be_used_says_why(text: str, says: str) -> None:
    with pytest.raises(BadPlan, match=says):
        layer_groups.parse(text, NET, 4)


def test_the_table_tells_bytes_and_bits_of_each_group() -> None:
    groups = layer_groups.plan(NET, 4)

    lines = layer_groups.table(groups, codec.sizes_bytes(groups)).splitlines()

    assert lines[0].split() == ["group", "values", "bits", "bytes", "layers"]
    assert lines[1] == "conv        4,752     4  2,452  conv1.weight, conv2.weight"
    assert lines[-1].split() == ["all", "5,146", "4.30", "2,768"]


@pytest.mark.parametrize("share", [0, 25, 50, 75, 100, 33.3])
@pytest.mark.parametrize("when", ["spread", "first"])
def test_the_share_of_rounds_is_quantized(share: float, when: str) -> None:
    quantized = [layer_groups.is_quantized(round_, 40, share, when) for round_ in range(40)]

    assert abs(sum(quantized) - 0.4 * share) < 1
    if when == "first":
        assert quantized == sorted(quantized, reverse=True)
    else:
        windows = [sum(quantized[at : at + 10]) for at in range(30)]
        assert max(windows) - min(windows) <= 1


def test_the_plan_of_a_file_takes_the_place_of_the_net_s() -> None:
    text = "[[group]]\nname = 'all'\nlayers = ['*']\nbits = 2"

    assert layer_groups.chosen("auto", NET, 4) == layer_groups.plan(NET, 4)
    assert [group.name for group in layer_groups.chosen(text, NET, 4)] == ["all"]
    assert [group.bits for group in layer_groups.exact(layer_groups.chosen(text, NET, 4))] == [32]
