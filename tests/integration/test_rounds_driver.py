"""The driver of a run in rounds, whose nodes the test plays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from cluster import keys
from cluster.coordinator import rounds
from cluster.coordinator.deadline import Deadline
from cluster.messaging import publish
from cluster.rounds import Bound
from cluster.stores import Stores
from tests.kit.driven import ROUNDS, SHARDS, Driven
from tests.kit.played_rounds import Kept
from tests.kit.waiting import wait_until


@pytest.fixture
def driven(app: Celery, stores: Stores) -> Iterator[Driven]:
    found = Driven(app, stores)
    found.driver.start()
    yield found
    found.driver.stop(10)


def test_a_driver_does_a_round_again_that_redis_forgot(driven: Driven, client: redis.Redis) -> None:
    assert driven.do(0) == "settled now"
    kept = Kept.of(client, driven.run)
    assert driven.do(1) == "settled now"
    driven.closed(0)
    kept.restore(client, driven.run)
    assert driven.do(1) == "settled now"
    driven.closed(0)
    for round_ in (1, 2):
        assert [driven.do(SHARDS * round_ + shard) for shard in range(SHARDS)] == ["settled now"] * SHARDS
        driven.closed(round_)
    assert driven.stores.ledger.runs.status(driven.run).state == "done"
    assert driven.counted == {f"{round_}:{shard}": 1 for round_ in range(ROUNDS) for shard in range(SHARDS)}


def test_what_a_closed_round_left_goes_though_none_follows(driven: Driven) -> None:
    assert [driven.do(chunk) for chunk in range(SHARDS)] == ["settled now"] * SHARDS
    driven.closed(0)
    state = keys.blobs(keys.state_scope(driven.run, 0))
    wait_until("the first state is dropped", lambda: not driven.stores.redis.exists(state), 10)


def test_a_turn_begun_late_still_finds_its_views(app: Celery, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "DROP_S", 0.0)
    driven = Driven(app, stores, apart=True, rounds=10)
    driven.driver.start()
    for round_ in range(9):  # shard 1 goes ahead; every fourth view is a whole one
        assert driven.do(round_ + 1) == "settled now"
        driven.closed(round_)
    assert driven.do(0) == "settled now"
    driven.closed(9)
    driven.driver.stop(5)
    views = [view for view in range(11) if stores.redis.exists(keys.blobs(keys.view_scope(driven.run, view)))]
    assert views == [8, 9, 10]


def test_a_round_below_its_quorum_is_not_looked_at_all_the_time(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    await_arrival = driven.stores.ledger.rounds.await_arrival

    def noted(run: str, after: str, most_s: float) -> Any:
        waits.append(most_s)
        return await_arrival(run, after, most_s)

    monkeypatch.setattr(Deadline, "seconds", lambda deadline, work_s: 0.0)
    monkeypatch.setattr(driven.stores.ledger.rounds, "await_arrival", noted)
    assert driven.do(0) == "settled now"
    wait_until("the driver has waited thrice", lambda: len(waits) > 2, 20)
    assert min(waits) == rounds.WAIT_S


@pytest.mark.parametrize("comes_in_time", [False, True])
def test_a_turn_under_way_when_shards_go_on_together_has_a_row(
    comes_in_time: bool, app: Celery, stores: Stores
) -> None:  # fmt: skip
    driven = Driven(app, stores, rounds=3, apart=True, apart_rounds=1, pause=1.0 if comes_in_time else 0.0)
    driven.driver.start()
    assert driven.do(0) == "settled now"
    if comes_in_time:  # while the driver makes its step, so that this part is not closed as a round
        assert driven.do(1) == "settled now"
    driven.closed(1)
    row = stores.ledger.rounds.curve(driven.run)[1][1]
    told = (row["round"], row["kind"], row["parts"], row["late"], row["late_shards"], row["late_chunks"])
    assert told == (1, "drained", 0, *((0, [], []) if comes_in_time else (1, [1], [1])))
    assert row["dropped"] == (1 if comes_in_time else 0)
    assert driven.counted == {"0:0": 1}
    driven.driver.stop(10)


@pytest.mark.parametrize(("offer_s", "published"), [(0.0, [0, 2, 3]), (1e9, [0])])
def test_now_and_then_a_short_round_is_published_for_nodes_that_join(
    offer_s: float, published: list[int], app: Celery, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    monkeypatch.setattr(rounds, "HOLD_S", 60.0)
    monkeypatch.setattr(rounds, "OFFER_S", offer_s)
    monkeypatch.setattr(publish, "publish_batch", lambda app, requirement, run, batch, *more: found.append(batch))
    driven = Driven(app, stores, rounds=4)
    driven.driver.start()
    for round_ in range(3):
        assert [driven.do(SHARDS * round_ + shard, stays=True) for shard in range(SHARDS)] == ["settled now"] * SHARDS
        driven.closed(round_)
    driven.driver.stop(10)
    assert sorted(set(found)) == published


def test_checkpoints_are_written_after_the_rounds_that_make_them(app: Celery, stores: Stores) -> None:
    written: dict[int, int] = {}

    class Noted:
        def write(self, bound: Bound, state: dict[str, int], rounds: int) -> None:
            written[rounds] = sum(state.values())

    driven = Driven(app, stores, Noted(), rounds=5, checkpoint=2)
    driven.driver.start()
    for round_ in range(5):
        assert [driven.do(SHARDS * round_ + shard) for shard in range(SHARDS)] == ["settled now"] * SHARDS
        driven.closed(round_)
    driven.driver.stop(10)
    assert written == {2: 2 * SHARDS, 4: 4 * SHARDS}
    assert driven.blobs == {keys.blobs(keys.state_scope(driven.run, 5))}


def test_a_run_that_is_done_leaves_its_last_state_alone(app: Celery, stores: Stores) -> None:
    driven = Driven(app, stores, rounds=1)
    driven.driver.start()
    assert [driven.do(chunk) for chunk in range(SHARDS)] == ["settled now"] * SHARDS
    driven.closed(0)
    driven.driver.stop(10)
    assert driven.blobs == {keys.blobs(keys.state_scope(driven.run, 1))}
    assert driven.counted == {"0:0": 1, "0:1": 1}


def test_a_run_whose_step_raises_leaves_no_blobs(app: Celery, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(*given: Any) -> Any:
        raise ArithmeticError("it diverges")

    monkeypatch.setattr(Bound, "step", bad)
    driven = Driven(app, stores)
    assert driven.blobs
    driven.driver.start()
    assert [driven.do(chunk) for chunk in range(SHARDS)] == ["settled now"] * SHARDS
    wait_until("the driver has ended", lambda: not driven.driver.is_alive, 20)
    assert stores.ledger.runs.status(driven.run).state == "failed"
    assert driven.blobs == set()
