"""Which requests a replica does, and in which portions."""

from __future__ import annotations

from cluster.services.messages import Request
from cluster.worker import request_lists
from cluster.worker.request_lists import Done


def asked(number: int, gateway: str = "a") -> Request:
    return Request(number, gateway, 1, "item", "it", b"")


def test_a_request_is_done_once_for_each_gateway() -> None:
    done = Done()
    assert [done.take(one) for one in (asked(1), asked(2), asked(1), asked(1, "b"))] == [True, True, False, True]


def test_one_that_could_not_be_done_may_come_again() -> None:
    done = Done()
    assert done.take(asked(1))
    done.forget([asked(1)])
    assert done.take(asked(1))


def test_the_last_requests_are_remembered_and_no_more() -> None:
    done = Done()
    for number in range(5 * request_lists.MOST_DONE):
        assert done.take(asked(number))
    assert not done.take(asked(4 * request_lists.MOST_DONE))
    assert len(done._newest) + len(done._older) <= 2 * request_lists.MOST_DONE
