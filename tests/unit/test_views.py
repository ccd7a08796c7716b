"""Views: what nodes hold is, bit for bit, what the coordinator believes they hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregators import codec, layer_groups
from aggregators.training import views

QUICK = settings(max_examples=25, deadline=None)


def moved(weights: codec.Floats, seed: int) -> codec.Floats:
    step = np.random.default_rng(seed).standard_normal(len(weights)) * 0.01
    return weights + step.astype(np.float32)


@QUICK
@given(st.integers(1, 900), st.sampled_from(layer_groups.BITS), st.integers(0, 2**32))
def test_node_and_coordinator_agree_after_many_changes(size: int, bits: int, seed: int) -> None:
    weights = moved(np.zeros(size, np.float32), seed)
    data, ours = views.whole(weights)
    theirs = views.see(None, data, whole=True)
    for turn in range(12):
        weights = moved(weights, seed + turn)
        data, ours = views.whole(weights) if turn == 8 else views.change(ours, weights, bits)
        theirs = views.see(theirs, data, whole=turn == 8)

        assert theirs.tobytes() == ours.tobytes()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_what_a_change_leaves_over_comes_with_the_next(bits: int) -> None:
    weights = moved(np.zeros(1000, np.float32), 1)
    _, view = views.whole(np.zeros(1000, np.float32))
    distances = []
    for _ in range(20):
        _, view = views.change(view, weights, bits)
        distances.append(float(np.abs(view - weights).max()))

    assert distances[-1] < 1e-3 * distances[0] + 1e-8


@QUICK
@given(st.integers(0, 900), st.sampled_from(layer_groups.BITS))
def test_the_size_of_a_view_is_that_of_the_formula(size: int, bits: int) -> None:
    weights = moved(np.zeros(size, np.float32), 1)

    assert len(views.whole(weights)[0]) == views.size_bytes(size, 16) == 1 + 2 * size
    assert len(views.change(np.zeros(size, np.float32), weights, bits)[0]) == views.size_bytes(size, bits)


def test_weights_too_large_for_float16_travel_as_float32() -> None:
    weights = np.array([1.5, 70_000.0], np.float32)

    data, view = views.whole(weights)

    assert view.tolist() == views.see(None, data, whole=True).tolist() == [1.5, 70_000.0]


def test_a_view_may_not_be_written_into() -> None:
    _, view = views.whole(np.zeros(3, np.float32))

    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("data", [b"", b"\x10\x00", b"\x09123", b"\x04", b"\xff" * 30])
def test_bytes_that_are_no_view_are_refused(data: bytes, whole: bool) -> None:
    with pytest.raises(codec.BadCode):
        views.see(np.zeros(10, np.float32), data, whole)


def test_a_change_needs_the_view_before_it() -> None:
    data, _ = views.change(np.zeros(10, np.float32), np.ones(10, np.float32), 8)

    with pytest.raises(codec.BadCode, match="cannot be read"):
        views.see(None, data, whole=False)
    with pytest.raises(codec.BadCode, match="bytes"):
        views.see(np.zeros(11, np.float32), data, whole=False)
