"""Two who read the input of one run, because one of them slept: whoever wakes late does no harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster import catalog, celery_app, keys, settings
from cluster.coordinator.cancel import cancel
from cluster.coordinator.split import HUNGRY_S, Coordinator
from cluster.coordinator.supervise import Supervisor
from cluster.ledger.lease import Busy, Lease
from cluster.ledger.row import RunPolicy
from cluster.messaging import publish
from cluster.stores import Stores
from splitters import Chunk, Item
from tests.kit.waiting import wait_until

CHUNKS: list[Chunk] = [[Item(f"{at}.txt", b"data %d" % at)] for at in range(8)]


class Two:
    """A run that one coordinates, and then another one."""

    def __init__(self, redis_url: str, stores: Stores, run: str) -> None:
        self.run = run
        self.stores = stores
        self._config = settings.load(broker_url=redis_url)
        self._app = celery_app.build(self._config)
        stores.ledger.runs.create(run, "measure", "", {}, "one", policy=RunPolicy(inline_bytes=0))

    def who(self, owner: str) -> tuple[Supervisor, Coordinator]:
        job = catalog.get("measure")
        supervisor = Supervisor(self._app, job, self.run, self.stores, owner, "splitter")
        wait: Callable[[], None] = lambda: None  # noqa: E731
        return supervisor, Coordinator(self._app, job, self.run, self.stores, self._config, supervisor, wait)

    def other(self, chunks: list[Chunk]) -> Lease:
        """Another one comes and reads as far as that, as if the one had slept for longer than its lease."""
        supervisor, coordinator = self.who("another")

        def takes_over() -> bool:
            self.stores.redis.hset(keys.run(self.run), "lease_until_ms", 1)
            try:
                coordinator._entered = coordinator._fenced(Lease.split)
            except Busy:  # the one, which does not sleep, has just kept it
                return False
            return True

        wait_until("the lease is the other's", takes_over)
        coordinator._publish_all(iter(chunks))
        coordinator._flush()
        return supervisor.lease()


@pytest.fixture
def two(redis_url: str, stores: Stores, request: pytest.FixtureRequest) -> Iterator[Two]:
    two = Two(redis_url, stores, f"two-{time.monotonic_ns()}")
    yield two
    stores.ledger.runs.stop(two.run, "cancelled", "by a test")
    stores.redis.delete(keys.queue("measure"))


def test_one_who_leaves_late_takes_no_input_along_that_is_the_others_by_then(two: Two) -> None:
    def read() -> Iterator[Chunk]:
        yield from CHUNKS[:2]  # uploaded, and not enough for a batch
        two.other(CHUNKS)
        raise SystemExit(143)

    _, coordinator = two.who("one")
    with pytest.raises(SystemExit):
        coordinator.coordinate(read)
    there = [two.stores.redis.exists(keys.blobs(keys.input_scope(two.run, at))) for at in range(8)]
    assert sorted(two.stores.ledger.chunks.unsettled(two.run)) == list(range(8))
    assert there == [1] * 8


def test_one_who_only_waits_leaves_the_lease_to_whoever_has_the_input(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> Iterator[Chunk]:
        yield from CHUNKS[:4]
        two.other(CHUNKS[:6]).release()  # and is stopped before the end of the input
        yield from CHUNKS[4:]

    supervisor, coordinator = two.who("one")
    ended: list[Any] = []
    tries: list[int] = []
    take = supervisor.lease

    def tried() -> Lease:
        tries.append(1)
        return take()

    monkeypatch.setattr(supervisor, "lease", tried)
    with supervisor:
        coordinator._on_wait = lambda: ended.append(1) if coordinator._supervisor._role == "supervisor" else None

        thread = threading.Thread(target=coordinator.coordinate, args=(read,), daemon=True)
        thread.start()
        wait_until("it only waits", lambda: ended)
        third = Lease.take(two.stores.ledger, two.run, "a third", "splitter")
        assert third.split().chunks == 6
        before = len(tries)
        wait_until("it tries to take the lease", lambda: len(tries) > before + 1)
        assert third.keep()
        two.stores.ledger.runs.stop(two.run, "cancelled", "by a test")
        thread.join(timeout=5)
        assert not thread.is_alive()


def test_a_batch_is_full_with_half_of_the_bytes_that_may_be_on_their_way(two: Two) -> None:
    two._config = two._config.model_copy(update={"max_in_flight_bytes": 1000})
    _, coordinator = two.who("one")
    coordinator._entered = coordinator._fenced(Lease.split)
    coordinator._publish_all(iter([[Item(f"{at}.txt", bytes(300))] for at in range(3)]))
    assert (coordinator._entered.batches, coordinator._entered.chunks) == (1, 2)


def test_a_batch_is_published_as_soon_as_nothing_waits_for_the_nodes(two: Two) -> None:
    published = []

    def read() -> Iterator[Chunk]:
        yield from CHUNKS[:4]  # a batch, and nodes begin all of it
        two.stores.redis.hset(keys.run(two.run, "claims"), mapping={str(at): "1 incarnation node" for at in range(4)})
        for chunk in CHUNKS[4:6]:
            time.sleep(2 * HUNGRY_S)
            yield chunk
        published.append(two.stores.ledger.runs.progress(two.run).chunks_published)
        raise SystemExit

    _, coordinator = two.who("one")
    with pytest.raises(SystemExit):
        coordinator.coordinate(read)
    assert published == [6]


def test_a_run_that_another_one_cancels_leaves_no_input_behind(two: Two) -> None:
    def read() -> Iterator[Chunk]:
        yield from CHUNKS[:2]  # uploaded, and not enough for a batch
        cancel(two.run, two.stores, "by another")
        yield from CHUNKS[2:]

    _, coordinator = two.who("one")
    assert coordinator.coordinate(read) == "cancelled"
    assert list(two.stores.redis.scan_iter(keys.blobs(f"runs/{two.run}/*"))) == []


def test_what_is_left_of_a_runs_messages_goes_when_it_is_over(two: Two) -> None:
    client = two.stores.redis
    supervisor, _ = two.who("one")
    with supervisor:
        supervisor.lease()
        publish.publish_chunk(two._app, "measure", two.run, 0, RunPolicy().limits)
        assert client.llen(keys.queue("measure")) == 1
        two.stores.ledger.runs.stop(two.run, "failed", "by a node that could not join parts")
        publish.publish_batch(two._app, "measure", two.run, 0, [range(1)], RunPolicy())  # not heard of yet
    assert not client.llen(keys.queue("measure"))
    assert not client.exists(keys.run(two.run, "outbox"))
