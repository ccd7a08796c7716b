"""All machines of a cluster keep bytes and models at the same places, or say why they take no work."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from cluster import catalog, celery_app, errors, keys, names, settings
from cluster.cli import texts
from cluster.client import session
from cluster.ledger.row import RunPolicy
from cluster.messaging import publish
from cluster.nodes import places
from cluster.nodes.places import Places
from cluster.stores import Stores
from tests.kit.played_run import JOB
from tests.kit.programs import Worker, cluster, emptied
from tests.kit.waiting import wait_until


@pytest.fixture
def empty(broker: str) -> Stores:
    return emptied(broker)


def opened(stores: Stores) -> str:
    run = names.new_run("measure")
    stores.ledger.runs.create(run, "measure", "", {}, "test")
    return run


def test_the_first_to_come_says_where_bytes_are_kept(broker: str, empty: Stores, tmp_path: Path) -> None:
    first = settings.load(broker_url=broker, blob_url="s3://me:secret@bucket/blobs", bundle_dir=tmp_path)
    opened(empty)
    assert places.disagreement(empty, first) == ""
    assert places.disagreement(empty, first) == ""
    told = places.disagreement(empty, settings.load(broker_url=broker))
    assert f"CLUSTER_BUNDLE_DIR is not set here and {tmp_path} in this cluster" in told
    assert "CLUSTER_BLOB_URL is not set here and s3://bucket/blobs in this cluster" in told
    assert places.disagreement(empty, first.model_copy(update={"blob_url": "s3://you:other@bucket/blobs/"})) == ""


def test_places_are_taken_anew_once_nobody_works(broker: str, empty: Stores) -> None:
    other = settings.load(broker_url=broker, blob_url="file:///elsewhere")
    assert places.disagreement(empty, settings.load(broker_url=broker)) == ""
    run = opened(empty)
    assert places.disagreement(empty, other) != ""
    empty.ledger.runs.stop(run, "cancelled", "by a test")
    assert places.disagreement(empty, other) == ""
    assert empty.redis.hget(keys.PLACES, "blob_url") == b"file:///elsewhere"


def test_a_submitter_with_another_store_opens_no_run(broker: str, empty: Stores) -> None:
    places.disagreement(empty, settings.load(broker_url=broker))
    opened(empty)
    config = settings.load(broker_url=broker, blob_url="file:///elsewhere")
    with pytest.raises(errors.BadSetting, match="CLUSTER_BLOB_URL is file:///elsewhere here and not set"):
        session.Session(config).start(JOB, {})
    assert len(empty.ledger.runs.listed()) == 1


def test_no_coordinator_with_another_store_takes_a_run(broker: str, empty: Stores) -> None:
    places.disagreement(empty, settings.load(broker_url=broker))
    run = opened(empty)
    with pytest.raises(errors.BadSetting, match="CLUSTER_BLOB_URL"):
        session.Session(settings.load(broker_url=broker, blob_url="file:///elsewhere")).coordinate(
            catalog.get("measure"), run, None, lambda: None
        )
    master = cluster("master", "--broker", broker, settings={"CLUSTER_BLOB_URL": "file:///elsewhere"})
    assert master.returncode == errors.BadSetting.exit_code
    assert "this machine cannot work on the runs of this cluster: CLUSTER_BLOB_URL" in master.stderr
    assert empty.ledger.runs.status(run).coordinator is None


@pytest.mark.parametrize("queues", [(), ("-Q", "measure")])
def test_a_node_with_another_store_takes_no_work(
    queues: tuple[str, ...], broker: str, empty: Stores, tmp_path: Path
) -> None:
    config = settings.load(broker_url=broker)
    places.disagreement(empty, config)
    run = opened(empty)
    with closing(celery_app.build(config)) as app:
        publish.publish_chunk(app, "measure", run, 0, RunPolicy().limits)
    with Worker("odd", broker, tmp_path, *queues, CLUSTER_BLOB_URL=f"file://{tmp_path}/blobs") as worker:
        [node] = wait_until("it is here", lambda: [node for node in empty.nodes.nodes() if node.state == "online"])
        seen = node.last_seen_at
        wait_until("a heartbeat comes", lambda: empty.nodes.nodes()[0].last_seen_at > seen)
        shown = texts.nodes(empty.nodes.nodes())
    assert node.jobs == []
    assert "CLUSTER_BLOB_URL is file://" in node.why_not("measure")
    assert "CLUSTER_BLOB_URL is file://" in shown
    assert "this node takes no work: CLUSTER_BLOB_URL is file://" in worker.log.read_text()
    assert empty.redis.llen(keys.queue("measure")) == 1
    assert empty.ledger.runs.status(run).retries == 0


def test_places_that_redis_lost_are_entered_again(broker: str, empty: Stores) -> None:
    mine = Places("file:///shared")
    assert places.compare(empty, mine) == ""
    empty.redis.delete(keys.PLACES)
    assert places.compare(empty, mine) == ""
    assert empty.redis.hget(keys.PLACES, "blob_url") == b"file:///shared"
    assert places.compare(empty, Places()) != ""
