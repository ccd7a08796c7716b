"""What people look at by pages: in a real Redis."""

from __future__ import annotations

import secrets

import pytest
import redis

from cluster import keys, settings
from cluster.client.run import Belongs
from cluster.ledger.listings import Which, kind_of
from cluster.stores import Stores
from tests.kit.played_run import Run


@pytest.fixture(scope="module")
def stores(broker: str) -> Stores:
    """Of a Redis for these tests alone, as they list its runs."""
    return Stores.connect(settings.load(broker_url=broker))


def opened(stores: Stores, belongs: Belongs | None = None, job: str = "ocr") -> str:
    run = f"{job}-{secrets.token_hex(4)}"
    stores.ledger.runs.create(run, job, "2", {}, "hub:1", belongs=belongs)
    return run


def listed(stores: Stores, most: int = 50, before: str = "", **which: str) -> tuple[list[str], str]:
    found = stores.ledger.listings.runs(most, before, Which(**which))
    return [run.run for run in found.runs], found.before


def test_runs_are_listed_by_pages_each_once(stores: Stores) -> None:
    runs = [opened(stores, job="paged") for _ in range(5)][::-1]
    first, before = listed(stores, 2, job="paged")
    newer = opened(stores, job="paged")
    second, last = listed(stores, 2, before, job="paged")
    third, end = listed(stores, 2, last, job="paged")
    assert first + second + third == runs
    assert (before, end) == (runs[1], "")
    assert listed(stores, 1, job="paged")[0] == [newer]
    assert listed(stores, 9, "paged-gone", job="paged") == ([], "")


def test_a_user_is_shown_own_runs_shared_ones_and_nobodys(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    own, hidden, shared = (opened(stores, Belongs(*to), "whose") for to in (("a",), ("b",), ("b", "cluster")))
    nobodys = opened(stores, job="whose")
    assert listed(stores, job="whose", seen_by="a")[0] == [nobodys, shared, own]
    assert listed(stores, job="whose", seen_by="a", without="a")[0] == [nobodys, shared]
    assert listed(stores, job="whose", owner="b")[0] == [shared, hidden]
    assert listed(stores, job="whose", owner="")[0] == [nobodys]
    monkeypatch.setattr(stores.ledger.runs, "rows", lambda runs, *_: pytest.fail(f"{runs} were read again"))
    assert listed(stores, job="whose", owner="c")[0] == [], "as it is known whose runs these are"
    monkeypatch.undo()
    stores.ledger.runs.share(shared, "private")
    assert listed(stores, job="whose", seen_by="a")[0] == [nobodys, own]
    assert not stores.ledger.runs.share(nobodys, "private")
    assert not stores.ledger.runs.share("whose-gone", "cluster")


def test_runs_are_found_by_state_and_a_piece_of_their_id(stores: Stores) -> None:
    going, paused, over = (opened(stores, job="states") for _ in range(3))
    stores.ledger.runs.pause(paused, "lunch")
    stores.ledger.runs.stop(over, "cancelled", "by maria")
    assert listed(stores, job="states", state="running")[0] == [paused, going]
    assert listed(stores, job="states", state="paused")[0] == [paused]
    assert listed(stores, job="states", state="cancelled")[0] == [over]
    assert listed(stores, text=going[-8:].upper())[0] == [going]


def test_a_run_that_expired_is_passed_over(stores: Stores, broker: str) -> None:
    left, gone = opened(stores, job="gone"), opened(stores, job="gone")
    redis.Redis.from_url(broker).delete(keys.run(gone))
    assert listed(stores, job="gone")[0] == [left]
    assert [run.run for run in stores.ledger.runs.statuses([gone, left])] == [left]


def test_missing_items_come_by_pages_with_their_node_and_reasons_are_counted(stores: Stores) -> None:
    run = Run(stores, batches=1, batch_chunks=4, fail="item 1 broke at byte 7")
    run.do(0)
    for number in range(600):
        stores.ledger.runs._redis.hset(keys.run(run.run, "failures"), f"bad {number}", f"cut after {number} bytes")
    stores.ledger.runs._redis.hset(keys.run(run.run, "where"), "bad 7", "worker@pc")
    items, after = [], -1
    while after:
        page = stores.ledger.listings.missing(run.run, max(after, 0), 50)
        items += page.items
        after = page.after
    found = {item.item: item for item in items}
    assert len(found) == 600
    assert (found["bad 7"].node, found["bad 8"].node) == ("worker@pc", "")
    [reason] = stores.ledger.listings.reasons(run.run)
    assert (reason.reason, reason.items) == ("cut after … bytes", 600)
    assert not stores.ledger.listings.missing(run.run, reason="another").items
    assert stores.ledger.listings.missing(run.run, most=600, reason=reason.reason).items


def test_where_a_missing_item_was_tried_is_kept(stores: Stores) -> None:
    run = Run(stores, fail="item 1")
    for _ in range(3):
        run.do(1, node="pc")
    [item] = stores.ledger.listings.missing(run.run).items
    assert (item.item, item.node) == ("item 1", "worker@pc")
    assert "item 1" in item.reason


def test_a_message_has_one_line_in_the_timeline(stores: Stores) -> None:
    run = Run(stores, batches=2, batch_chunks=3)
    now_ms, working = stores.ledger.listings.working(run.run)
    assert working == []
    run.claims([0, 1], "pc")
    _, [at_work] = stores.ledger.listings.working(run.run)
    assert (at_work.node, at_work.units) == ("worker@pc", ("0", "1"))
    assert 0 <= at_work.since_ms - now_ms < 10_000
    run.do(0, 1, node="pc")
    run.do(2, node="office")
    run.do(2, node="office")
    first, second = stores.ledger.listings.timeline(run.run)
    assert (first.node, first.first, first.last, first.items, first.missing) == ("worker@pc", 0, 1, 2, 0)
    assert first.since_ms <= first.until_ms <= second.until_ms
    assert (second.node, second.first, second.last) == ("worker@office", 2, 2)
    assert stores.ledger.listings.timeline(run.run, after=first.id) == [second]
    assert stores.ledger.listings.timeline(run.run, since_ms=second.until_ms + 60_000) == []


def test_a_chunk_given_up_counts_as_missing_in_the_timeline(stores: Stores) -> None:
    run = Run(stores, fail="broken")
    for _ in range(3):
        run.do(0)
    [line] = stores.ledger.listings.timeline(run.run)
    assert (line.items, line.missing) == (1, 1)


def test_history_goes_on_after_an_event(stores: Stores) -> None:
    run = Run(stores)
    known = stores.ledger.runs.events(run.run)
    stores.ledger.runs.pause(run.run, "by maria")
    [paused] = stores.ledger.runs.events(run.run, known[-1].id)
    assert (paused.event, paused.why) == ("paused", "by maria")
    assert stores.ledger.listings.last_events(run.run, 2) == [known[-1], paused]


def test_who_has_submitted_stands_in_the_history(stores: Stores) -> None:
    run = opened(stores, Belongs("maria"))
    assert stores.ledger.runs.events(run)[0].why == "ocr, by maria"


def test_reasons_are_grouped_without_their_numbers() -> None:
    assert kind_of("412 megapixels, over 64.5") == kind_of("98.1 megapixels, over 64") == "… megapixels, over …"
