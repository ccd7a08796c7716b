"""Rounds that go by a tree: nodes of a site put parts into its store, one of them joins these. The test plays nodes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from pydantic import SecretStr

from cluster import keys, names
from cluster.coordinator import deadline
from cluster.settings import Settings
from cluster.stores import Stores
from cluster.worker import edge
from cluster.worker.map_chunk import TryAgain
from tests.kit.driven import Driven
from tests.kit.nodes import a_report
from tests.kit.played_rounds import Kept, on
from tests.kit.played_run import CONFIG
from tests.kit.programs import RedisServer, admin
from tests.kit.waiting import wait_until

SHARDS = 3
NEAR, FAR = "near", "far"
"""A node of the site, one without a store."""


class Site:
    """A run of three shards: two are done on a site with a store of its own, the last one elsewhere."""

    def __init__(self, app: Celery, stores: Stores, url: str, **given: Any) -> None:
        self.config = CONFIG.model_copy(update={"edge_url": SecretStr(url)})
        self.digest = names.edge(url)
        self.told = a_report(site="lab", edge=self.digest)
        self.incarnation = secrets.token_hex(4)
        options = {"shards": SHARDS, "rounds": 9, "topology": "tree", "ballast": 5000, **given}
        self.run = Driven(app, stores, **options)
        self.run.driver.start()
        self.first = 0
        """The first chunk of the round that is open."""

    def do(self, chunk: int, node: str = NEAR, **more: Any) -> Any:
        config: Settings = self.config if node == NEAR else CONFIG
        return self.run.do(self.first + chunk, node=node, config=config, stays=True, **more)

    def shards(self) -> None:
        """The first half of a round."""
        self.run.stores.nodes.heartbeat(on(NEAR).node, self.incarnation, "here", self.told)
        assert [self.do(0), self.do(1), self.do(2, FAR)] == ["settled now"] * 3

    def joins(self) -> None:
        """Wait for its second half."""
        wait_until("the join is entered", lambda: self.run.stores.ledger.chunks.unsettled(self.run.run), 10)
        assert self.run.stores.ledger.chunks.unsettled(self.run.run) == [self.first + SHARDS]

    def closed(self, round_: int, chunks: int) -> dict[str, Any]:
        """Wait until a round of so many chunks is closed; gives its row."""
        self.run.closed(round_)
        self.first += chunks
        return self.run.rows[round_]

    def star(self, round_: int) -> dict[str, Any]:
        self.shards()
        return self.closed(round_, SHARDS)

    def tree(self, round_: int) -> dict[str, Any]:
        self.shards()
        self.joins()
        assert self.do(SHARDS) == "settled now"
        return self.closed(round_, SHARDS + 1)

    @property
    def in_store(self) -> list[bytes]:
        client = redis.Redis.from_url(self.config.edge_url.get_secret_value())  # type: ignore[union-attr]
        return list(client.scan_iter(keys.blobs(f"runs/{self.run.run}/*")))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("edge")) as server:
        yield server.url


@pytest.fixture
def site(app: Celery, stores: Stores, store_url: str) -> Iterator[Site]:
    found = Site(app, stores, store_url)
    yield found
    found.run.driver.stop(10)


def counted(rounds: int) -> dict[str, int]:
    return {f"{round_}:{shard}": 1 for round_ in range(rounds) for shard in range(SHARDS)}


def test_a_site_hands_in_one_part_for_all_of_its_own(site: Site) -> None:
    star = site.star(0)
    tree = site.tree(1)
    assert (star.get("topology"), tree["topology"], tree["why"]) == (None, "tree", "as given")
    assert (tree["parts"], tree["late"], tree["rejected"]) == (SHARDS, 0, {})
    assert 10_000 < tree["site_bytes"] < 12_000
    assert tree["up_bytes"] < star["up_bytes"] - 8000
    assert sum(tree["times"].values()) == pytest.approx(tree["wall_s"], rel=0.05)
    assert site.run.counted == counted(2)


def test_only_a_node_of_the_site_joins_its_parts(site: Site) -> None:
    site.star(0)
    site.shards()
    site.joins()
    ended = site.do(SHARDS, FAR)
    assert isinstance(ended, TryAgain)
    assert ended.reason == "other place"
    chunks = site.run.stores.ledger.chunks
    assert chunks.waiting(site.run.run, []) == set()
    assert chunks.waiting(site.run.run, [site.digest]) == {site.first + SHARDS}
    assert site.do(SHARDS) == "settled now"
    assert site.closed(1, SHARDS + 1)["parts"] == SHARDS


def test_parts_of_closed_rounds_leave_the_store_of_a_site(site: Site) -> None:
    site.star(0)
    for round_ in (1, 2, 3):
        site.tree(round_)
    assert len(site.in_store) == 1


def test_a_part_that_is_small_goes_to_the_hub(app: Celery, stores: Stores, store_url: str) -> None:
    site = Site(app, stores, store_url, ballast=0)
    site.star(0)
    row = site.star(1)
    assert (row["topology"], row["site_bytes"]) == ("tree", 0)
    site.run.driver.stop(10)


def test_a_store_that_is_dead_costs_no_part_and_is_spared_for_a_while(
    app: Celery, stores: Stores, store: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.coordinator.shapes.SPARED_ROUNDS", 2)
    site = Site(app, stores, store.url)
    site.star(0)
    site.tree(1)
    store.kill()
    lost = site.star(2)
    assert (lost["topology"], lost["parts"], lost["site_bytes"]) == ("tree", SHARDS, 0)
    spared = [site.star(round_) for round_ in (3, 4)]
    assert {row["topology"] for row in spared} == {"star"}
    assert "could not write" in spared[0]["why"]
    assert site.star(5)["topology"] == "tree"
    assert site.run.counted == counted(6)
    site.run.driver.stop(10)


def test_a_store_that_dies_with_parts_costs_its_site_the_round(app: Celery, stores: Stores, store: RedisServer) -> None:
    site = Site(app, stores, store.url)
    site.star(0)
    site.shards()
    site.joins()
    store.kill()
    assert site.do(SHARDS) == "settled now"
    row = site.closed(1, SHARDS + 1)
    assert (row["parts"], sorted(row["rejected"])) == (1, ["0", "1"])
    assert "cannot be read" in row["rejected"]["0"]
    assert site.star(2)["topology"] == "star"
    assert site.run.counted == {**counted(1), "1:2": 1, **{f"2:{shard}": 1 for shard in range(SHARDS)}}
    site.run.driver.stop(10)


def test_a_node_that_dies_while_it_joins_leaves_that_to_another(site: Site) -> None:
    site.star(0)
    site.shards()
    site.joins()
    chunks, chunk, dead = site.run.stores.ledger.chunks, site.first + SHARDS, on("dead")
    assert chunks.claim(site.run.run, [chunk], dead, "", [site.digest]).of[chunk].state == "claimed"
    assert chunks.end_attempt(site.run.run, chunk, "lost", dead, "it is lost") is not None
    assert site.do(SHARDS) == "settled now"
    assert site.closed(1, SHARDS + 1)["parts"] == SHARDS


def test_a_join_that_never_comes_holds_up_no_round(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "FIRST_JOIN_S", 0.3)
    site.star(0)
    site.shards()
    site.joins()
    row = site.closed(1, SHARDS + 1)
    assert (row["parts"], row["late_chunks"]) == (1, [2 * SHARDS])
    assert row["rejected"] == dict.fromkeys("01", "its site did not join its parts in time")
    assert "in time" in site.star(2)["why"]


def test_parts_that_cannot_be_joined_are_named(app: Celery, stores: Stores, store_url: str) -> None:
    site = Site(app, stores, store_url, spoilt=1)
    site.star(0)
    row = site.tree(1)
    assert (row["parts"], list(row["rejected"])) == (1, ["0", "1"])
    assert "asked to join nothing" in row["rejected"]["1"]
    site.run.driver.stop(10)


def test_a_member_whose_bytes_are_gone_is_named(site: Site) -> None:
    site.star(0)
    site.shards()
    site.joins()
    client = redis.Redis.from_url(site.config.edge_url.get_secret_value())  # type: ignore[union-attr]
    [key] = site.in_store
    fields: Any = client.hkeys(key)
    client.hdel(key, fields[0])
    assert site.do(SHARDS) == "settled now"
    row = site.closed(1, SHARDS + 1)
    assert row["parts"] == 2
    [why] = row["rejected"].values()
    assert "is gone" in why


def test_the_next_driver_goes_on_in_the_second_half(site: Site) -> None:
    site.star(0)
    site.shards()
    site.joins()
    site.run.drive_on()
    assert site.do(SHARDS) == "settled now"
    row = site.closed(1, SHARDS + 1)
    assert (row["topology"], row["parts"]) == ("tree", SHARDS)
    site.tree(2)
    assert site.run.counted == counted(3)


def test_a_driver_that_dies_before_the_second_half_changes_nothing(site: Site) -> None:
    site.star(0)
    site.run.driver.stop(10)
    site.shards()
    site.run.drive_on()
    site.joins()
    assert site.do(SHARDS) == "settled now"
    assert site.closed(1, SHARDS + 1)["parts"] == SHARDS
    assert site.run.counted == counted(2)


def test_a_second_half_that_redis_forgot_is_begun_again(site: Site, redis_url: str) -> None:
    client = admin(redis_url)
    site.star(0)
    assert [site.do(0), site.do(1)] == ["settled now"] * 2
    kept = Kept.of(client, site.run.run)
    assert site.do(2, FAR) == "settled now"
    site.joins()
    kept.restore(client, site.run.run)
    assert site.do(2, FAR) == "settled now"
    site.joins()
    assert site.do(SHARDS) == "settled now"
    assert site.closed(1, SHARDS + 1)["parts"] == SHARDS
    assert site.run.counted == counted(2)


def test_a_round_with_joins_counts_as_one_batch(site: Site) -> None:
    site.star(0)
    site.tree(1)
    progress = site.run.stores.ledger.runs.progress(site.run.run)
    assert (progress.batches_complete, progress.batches_aggregated) == (2, 2)
    assert progress.chunks_settled == 2 * SHARDS + 1


def test_a_part_of_a_site_that_comes_after_the_join_began_is_named(
    app: Celery, stores: Stores, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(app, stores, store_url, quorum=0.5)
    site.star(0)
    monkeypatch.setattr(deadline.Deadline, "seconds", lambda self, work_s: 0.0)
    monkeypatch.setattr(deadline, "LEAST_JOIN_S", 20.0)
    assert [site.do(0), site.do(2, FAR)] == ["settled now"] * 2
    wait_until("the join is entered", lambda: len(stores.ledger.chunks.unsettled(site.run.run)) == 2, 10)
    assert site.do(1) == "settled now"
    assert site.do(SHARDS) == "settled now"
    row = site.closed(1, SHARDS + 1)
    assert row["rejected"] == {"1": "it came after its site began to join"}
    assert row["parts"] == 2
    site.run.driver.stop(10)


def test_what_is_put_for_a_run_goes_with_it_and_a_dead_store_takes_none(store: RedisServer) -> None:
    config = CONFIG.model_copy(update={"edge_url": SecretStr(store.url)})
    found = edge.own(config)
    assert found is not None
    assert found.put("run", 1, b"part") is not None
    client = admin(store.url)
    assert client.dbsize() == 1
    edge.forget(config, "run")
    assert client.dbsize() == 0
    assert edge.places(config) == [found.digest]
    store.kill()
    assert found.put("run", 2, b"part") is None
    assert (edge.own(CONFIG), edge.places(CONFIG)) == (None, [])
