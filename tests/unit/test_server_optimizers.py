"""Server optimizers against their formulas, in float64, written down once more."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregators import server
from aggregators.server import Moments, Stale

ROUNDS = 6


def changes(seed: int = 0, size: int = 2 * server.SEGMENT + 5) -> list[server.Floats]:
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(size) * 0.01).astype(np.float32) for _ in range(ROUNDS)]


def run(optimizer: server.Server, seed: int = 0, size: int = 2 * server.SEGMENT + 5) -> server.Floats:
    weights, moments = np.ones(size, np.float32), Moments()
    for change in changes(seed, size):
        weights, moments = server.step(optimizer, weights, change, moments)
    return weights


def by_hand(name: str) -> npt.NDArray[np.float64]:
    """torch.optim's SGD(momentum, nesterov) and Adam, for the gradient ``-change``."""
    weights, kept, squares = (np.full(2 * server.SEGMENT + 5, value) for value in (1.0, 0.0, 0.0))
    for count, change in enumerate(changes(), 1):
        gradient = -change.astype(float)
        if name == "average":
            weights = weights - gradient
        elif name == "adam":
            kept = 0.9 * kept + 0.1 * gradient
            squares = 0.999 * squares + 0.001 * gradient**2
            unbiased, spread = kept / (1 - 0.9**count), np.sqrt(squares / (1 - 0.999**count))
            weights = weights - 0.001 * unbiased / (spread + 1e-8)
        else:
            kept = 0.9 * kept + gradient
            weights = weights - 0.7 * (gradient + 0.9 * kept if name == "nesterov" else kept)
    return weights


@pytest.mark.parametrize(
    "optimizer",
    [server.choose("average"), server.choose("adam"), server.choose("nesterov"), server.choose("sgd", 0.7, 0.9)],
    ids=lambda optimizer: optimizer.optimizer,
)
def test_each_optimizer_follows_its_formula(optimizer: server.Server) -> None:
    assert np.allclose(run(optimizer), by_hand(optimizer.optimizer), atol=2e-6)


def test_sgd_without_momentum_adds_a_part_of_the_change() -> None:
    change = changes()[0]

    weights, moments = server.step(server.choose("sgd", 0.5), np.ones_like(change), change, Moments())

    assert np.allclose(weights, 1 + 0.5 * change)
    assert moments == Moments(None, None, 1)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(server.OPTIMIZERS)), st.integers(0, 2**32))
def test_the_same_changes_give_the_same_bits(name: str, seed: int) -> None:
    first, second = (run(server.choose(name), seed, size=300) for _ in range(2))

    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("name", sorted(server.OPTIMIZERS))
def test_a_step_leaves_what_it_was_given(name: str) -> None:
    change = changes(size=300)[0]
    weights = np.ones_like(change)
    _, moments = server.step(server.choose(name), weights, change, Moments())
    before = [change.copy(), weights.copy(), *(m.copy() for m in moments[:2] if m is not None)]

    server.step(server.choose(name), weights, change, moments)

    after = [change, weights, *(m for m in moments[:2] if m is not None)]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["nesterov", "adam", "sgd"])
def test_momentum_with_a_stale_change_is_refused(name: str) -> None:
    change = changes(size=3)[0]
    optimizer = server.choose(name, momentum=0.9)

    with pytest.raises(Stale, match="2 steps old; use sgd with momentum 0"):
        server.step(optimizer, np.ones_like(change), change, Moments(), staleness=2)


def test_a_stale_change_without_momentum_is_used() -> None:
    change = changes(size=3)[0]

    weights, _ = server.step(server.choose("sgd", 1.0, 0.0), np.ones_like(change), change, Moments(), staleness=2)

    assert np.allclose(weights, 1 + change)


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (("lion", None, None), "must be one of nesterov, average, sgd, adam"),
        (("sgd", 0.0, None), "rate is 0.0; it must be above 0"),
        (("sgd", float("nan"), None), "rate is nan"),
        (("nesterov", None, 1.0), "momentum is 1.0; it must be 0 or more and below 1"),
        (("average", 0.5, None), "neither rate nor momentum"),
    ],
)
def test_settings_that_no_optimizer_has_are_refused(given_: tuple[str, float, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        server.choose(*given_)
