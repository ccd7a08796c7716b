"""Commands in the foreground: a signal decides how they end."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest
import redis

from cluster.cli import foreground


@pytest.mark.parametrize(
    ("number", "ending"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_a_signal_wins_over_redis_errors_of_the_clean_up(number: int, ending: type[BaseException]) -> None:
    with pytest.raises(ending) as seen, foreground.terminable():  # noqa: PT012
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            os.kill(os.getpid(), number)
        raise redis.ConnectionError("refused")
    assert getattr(seen.value, "code", 128 + number) == 128 + number


def test_a_redis_error_without_a_signal_stays_one() -> None:
    with pytest.raises(redis.ConnectionError), foreground.terminable():
        raise redis.ConnectionError("refused")


def test_a_second_ctrl_c_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def leave(code: int) -> None:
        left.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit), foreground.terminable():  # noqa: PT012
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert left == []
        os.kill(os.getpid(), signal.SIGINT)
    assert left == [130]
