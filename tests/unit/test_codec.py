"""The codec of changes: right on average, exact sizes, and nothing added where a code is bad."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregators import codec, layer_groups
from aggregators.layer_groups import Group

BITS = st.sampled_from(layer_groups.BITS)
LENGTHS = st.lists(st.integers(1, 700), min_size=1, max_size=4)
QUICK = settings(max_examples=40, deadline=None)


def groups_of(lengths: list[int], bits: int) -> tuple[Group, ...]:
    """Groups of two spans each, one after another, where there are enough."""
    ends = np.cumsum([0, *lengths]).tolist()
    spans = list(itertools.pairwise(ends))
    return tuple(Group(f"g{at}", tuple(spans[at : at + 2]), bits) for at in range(0, len(spans), 2))


def change_of(size: int, seed: int = 0, scale: float = 1e-3) -> codec.Floats:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(size) * scale).astype(np.float32)


def decode(encoded: list[bytes], groups: tuple[Group, ...], size: int) -> codec.Floats:
    total = np.zeros(size, np.float32)
    codec.decode_into(total, encoded, groups)
    return total


def largest_step(change: codec.Floats, bits: int) -> float:
    return float(np.abs(change).max()) / float(2 ** (bits - 1) - 1)


@QUICK
@given(LENGTHS, BITS, st.integers(0, 2**32), st.booleans())
def test_what_is_decoded_lies_within_one_step(lengths: list[int], bits: int, seed: int, nearest: bool) -> None:
    change, groups = change_of(sum(lengths), seed), groups_of(lengths, bits)

    decoded = decode(
        codec.encode(change, groups, None if nearest else np.random.default_rng(seed)), groups, len(change)
    )

    if bits == 32:
        assert decoded.tobytes() == change.tobytes()
    elif bits == 16:
        assert np.allclose(decoded, change, rtol=1e-3, atol=1e-7)
    else:
        assert np.abs(decoded - change).max() <= largest_step(change, bits) * (0.5001 if nearest else 1.0001)


@QUICK
@given(LENGTHS, BITS)
def test_sizes_are_those_of_the_formula(lengths: list[int], bits: int) -> None:
    groups = groups_of(lengths, bits)

    encoded = codec.encode(change_of(sum(lengths)), groups)

    quantized = bits < 16
    by_hand = sum(-(-length * bits // 8) + (4 * -(-length // 256) if quantized else 0) for length in lengths)
    assert [len(data) for data in encoded] == codec.sizes_bytes(groups)
    assert sum(codec.sizes_bytes(groups)) == by_hand


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_the_mean_over_seeds_is_the_change(bits: int) -> None:
    change, groups, tries = change_of(300), groups_of([300], bits), 2000
    total = np.zeros(300, np.float64)
    for seed in range(tries):
        total += decode(codec.encode(change, groups, np.random.default_rng(seed)), groups, 300)

    # A value that is rounded at random deviates by at most half a step: 5 standard errors of the mean.
    assert np.abs(total / tries - change).max() <= 5 * 0.5 * largest_step(change, bits) / tries**0.5


def test_rounding_to_the_nearest_is_not_right_on_average() -> None:
    """So the test before can fail: without chance each try gives the same."""
    change, groups = change_of(300), groups_of([300], 4)

    decoded = decode(codec.encode(change, groups), groups, 300)

    assert np.abs(decoded - change).max() > 5 * 0.5 * largest_step(change, 4) / 2000**0.5


@QUICK
@given(LENGTHS, BITS, st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_bytes(lengths: list[int], bits: int, seed: int) -> None:
    change, groups = change_of(sum(lengths), seed), groups_of(lengths, bits)

    first, second = (codec.encode(change, groups, np.random.default_rng(seed)) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("bits", layer_groups.BITS)
def test_a_span_of_several_segments_is_whole(bits: int) -> None:
    size = 2 * codec.SEGMENT + 77
    change, groups = change_of(size), (Group("long", ((0, size),), bits),)

    decoded = decode(codec.encode(change, groups, np.random.default_rng(1)), groups, size)

    largest = 3e-6 if bits > 8 else largest_step(change, bits)
    assert np.abs(decoded - change).max() <= largest * 1.0001


@QUICK
@given(LENGTHS, BITS, st.floats(0.0625, 4, width=32))
def test_a_weight_counts_as_often_as_it_says(lengths: list[int], bits: int, weight: float) -> None:
    change, groups = change_of(sum(lengths)), groups_of(lengths, bits)
    encoded = codec.encode(change, groups, np.random.default_rng(0))
    total = np.full(len(change), 0.5, np.float32)

    codec.decode_into(total, encoded, groups, weight)

    assert np.allclose(total, 0.5 + weight * decode(encoded, groups, len(change)), rtol=1e-5)


@pytest.mark.parametrize("bits", [2, 4])
def test_error_feedback_hands_in_later_what_it_left(bits: int) -> None:
    change, groups, rounds = change_of(1000), groups_of([600, 400], bits), 50
    error, total = np.zeros(1000, np.float32), np.zeros(1000, np.float32)
    for seed in range(rounds):
        codec.decode_into(total, codec.encode(change, groups, np.random.default_rng(seed), error), groups)

    assert np.allclose(total + error, rounds * change, atol=1e-5)


def test_a_round_of_float32_hands_in_all_that_was_left() -> None:
    change, error = change_of(1000), change_of(1000, seed=1)
    groups = groups_of([1000], 32)

    decoded = decode(codec.encode(change, groups, None, error), groups, 1000)

    assert not error.any()
    assert np.array_equal(decoded, change + change_of(1000, seed=1))


def test_a_change_of_zeros_stays_one_of_zeros() -> None:
    groups = groups_of([500], 4)

    encoded = codec.encode(np.zeros(500, np.float32), groups, np.random.default_rng(0))

    assert not decode(encoded, groups, 500).any()


@pytest.mark.parametrize("bits", layer_groups.BITS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e7])
def test_a_change_that_diverged_is_not_encoded(bits: int, value: float) -> None:
    change, error = change_of(700), change_of(700, seed=1)
    change[650] = value

    with pytest.raises(codec.NotEncodable, match=r"diverged: group g0 changes by .*lower rate"):
        codec.encode(change, groups_of([700], bits), np.random.default_rng(0), error)

    assert np.array_equal(error, change_of(700, seed=1))


def test_a_value_too_large_for_float16_is_refused() -> None:
    with pytest.raises(codec.NotEncodable):
        codec.encode(np.full(3, 70_000, np.float32), groups_of([3], 16))


@pytest.mark.parametrize("bits", layer_groups.BITS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_bad_numbers_in_a_code_add_nothing(bits: int, bad: float) -> None:
    groups = groups_of([300, 300, 300], bits)
    encoded = codec.encode(change_of(900), groups)
    kind = codec.FLOATS.get(bits, codec.SCALE)
    with np.errstate(over="ignore"):
        encoded[1] = np.array([bad]).astype(kind).tobytes() + encoded[1][kind.itemsize :]
    total = np.zeros(900, np.float32)

    with pytest.raises(codec.BadCode, match="group g2"):
        codec.decode_into(total, encoded, groups)

    assert not total.any()


def test_a_scale_below_zero_is_refused() -> None:
    groups = groups_of([300], 4)
    encoded = codec.encode(change_of(300), groups)
    encoded[0] = np.array([-1e-3], codec.SCALE).tobytes() + encoded[0][4:]

    with pytest.raises(codec.BadCode, match="scale below 0"):
        codec.check(encoded, groups)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda encoded: [*encoded, b""], "has 3 groups; the plan has 2"),
        (lambda encoded: encoded[:1], "has 1 groups"),
        (lambda encoded: [encoded[0], encoded[1] + b"\0"], "group g2 has 159 bytes; 4 bits a value take 158"),
        (lambda encoded: [encoded[0], b""], "has 0 bytes"),
        (lambda encoded: [encoded[0], "text"], "no list of encoded groups"),
        (lambda encoded: b"bytes", "no list of encoded groups"),
        (lambda encoded: None, "no list of encoded groups"),
    ],
)
def test_a_code_of_another_form_is_refused(spoil, says: str) -> None:  # type: ignore[no-untyped-def]
    groups = groups_of([300, 300, 300], 4)
    encoded = codec.encode(change_of(900), groups)

    with pytest.raises(codec.BadCode, match=says):
        codec.norm(spoil(encoded), groups)


@QUICK
@given(LENGTHS, BITS)
def test_the_norm_is_that_of_what_is_decoded(lengths: list[int], bits: int) -> None:
    change, groups = change_of(sum(lengths)), groups_of(lengths, bits)
    encoded = codec.encode(change, groups, np.random.default_rng(0))

    expected = np.linalg.norm(decode(encoded, groups, len(change)).astype(float))

    assert codec.norm(encoded, groups) == pytest.approx(expected, rel=1e-4)


def test_encoding_leaves_the_change_as_it_was() -> None:
    change = change_of(900)

    codec.encode(change, groups_of([300, 300, 300], 4), np.random.default_rng(0))

    assert np.array_equal(change, change_of(900))
