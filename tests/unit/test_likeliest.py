"""Which class a row has, by its scores."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")

from aggregators.likeliest import likeliest  # noqa: E402


def test_equal_scores_give_the_first_class_however_they_were_rounded() -> None:
    third = np.float64(1) / 3
    scores = np.array([[0.1, 0.2, 0.7], [third, third + 1e-9, third], [0.2, 0.4, 0.4 + 3e-7], [0.5 - 1e-4, 0.5, 0]])
    assert likeliest(scores).tolist() == [2, 0, 1, 1]
    assert likeliest(scores.astype(np.float32)).tolist() == [2, 0, 1, 1]
